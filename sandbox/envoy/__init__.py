"""Envoy itself: its program, its bootstrap, the filter's resource and its admin interface."""
