"""The logs of many containers as one."""
