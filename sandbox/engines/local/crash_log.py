"""The last lines of a service that was given up, kept for a look later."""

import contextlib
import time
from collections.abc import Sequence
from pathlib import Path

from sandbox.errors import PreconditionError
from sandbox.files import make_private_folder, write_atomic

MAX_CRASH_LOGS = 5


def keep_crash_log(folder: Path, service: str, tail: Sequence[str]) -> None:
    """Write `tail` to a file of its own, and drop the oldest of more than `MAX_CRASH_LOGS`.

    A full disk costs the file, not the stack.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    with contextlib.suppress(PreconditionError):
        make_private_folder(folder)
        write_atomic(folder / f"{service}-{stamp}.log", "\n".join(tail).encode() + b"\n")
        for old in sorted(folder.glob(f"{service}-*.log"))[:-MAX_CRASH_LOGS]:
            old.unlink(missing_ok=True)
