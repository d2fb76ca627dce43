"""A bug of ours: the trace goes to a file, not on the screen."""

import os
import platform
import sys
import time
import traceback

from sandbox import __version__
from sandbox.observe.redact import redact


def report_bug(error: Exception) -> str:
    """Write the trace below the state folder; returns what to say: the error, and where that file is."""
    from sandbox.view.terminal import printable

    said = printable(redact(f"{type(error).__name__}: {error}"))
    return f"error: {said}\nThis is a bug of the sandbox. {write_crash_file(error)}\n"


def write_crash_file(error: Exception) -> str:
    """Write the trace below the state folder; returns the sentence that says where, or the trace if that failed too."""
    trace = redact("".join(traceback.format_exception(error)))
    about = f"sandbox {__version__}, Python {platform.python_version()}, {platform.platform()}\n{sys.argv[1:2]}\n\n"
    try:
        from sandbox.files import make_private_folder, write_atomic
        from sandbox.workspace import current_folder, find_project, state_of

        folder = make_private_folder(state_of(find_project(current_folder())).crashes)
        path = folder / f"bug-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{os.getpid()}.txt"
        write_atomic(path, (about + trace).encode(errors="replace"))
    except Exception:
        return about + trace
    return f"Please report it with this file: {path}"
