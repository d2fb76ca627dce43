"""Processes of a stack whose supervisor and guard were both killed, found by the mark in their environment, never by a number."""

import contextlib
import os
from pathlib import Path

MARK = "SANDBOX_RUN"
"""The variable that every process of a stack carries; its value is the stack's run folder."""


def kill_orphans(run: Path) -> None:
    """Kill every process of this user that carries the mark of `run`, but not the one that calls this."""
    import psutil

    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(run):
                process.kill()
