"""The mark by which processes of ours are found: a variable in their environment. Numbers in files are never believed."""

import contextlib
import os
from pathlib import Path

MARK = "SANDBOX_RUN"
"""The variable; its value is a folder that is this stack's only."""


def kill_marked(folder: Path) -> int:
    """Kill every process of this user that carries this mark, but not the one that calls this; returns how many."""
    import psutil

    killed = 0
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            if process.pid != os.getpid() and process.environ().get(MARK) == str(folder):
                process.kill()
                killed += 1
    return killed
