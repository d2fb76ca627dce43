"""Programs that we start, each in a process group of its own, so that it can be ended whole, and none lost to an interrupt."""

import atexit
import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

_INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_started: "list[subprocess.Popen[bytes]]" = []


def start_child(command: Sequence[str], *, folder: Path | None, environment: Mapping[str, str]) -> "subprocess.Popen[bytes]":
    """Start a program that reads nothing, and writes all it says into `stdout`. Have a `try` follow at once, which ends it.

    An interrupt is an exception: one that comes while the program starts ends it here, for nobody else has its name yet.
    One that comes before that `try` leaves it to the end of our process, which kills whatever still runs.
    Raises: OSError when there is no such program.
    """
    child = None
    try:
        with _interrupts_held():
            child = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                process_group=0,
            )
            _started[:] = [*(other for other in _started if other.returncode is None), child]
    except BaseException:
        if child:
            with child:
                signal_group(child, signal.SIGKILL)
        raise
    return child


def signal_group(child: "subprocess.Popen[bytes]", number: signal.Signals) -> None:
    """Send a signal to a child's whole group, if there still is one."""
    with contextlib.suppress(ProcessLookupError, PermissionError):  # macOS denies it for a group of zombies
        os.killpg(child.pid, number)


@atexit.register
def _kill_lost() -> None:
    for child in _started:
        if child.returncode is None:
            signal_group(child, signal.SIGKILL)


@contextlib.contextmanager
def _interrupts_held() -> Iterator[None]:
    """What asks for an end meanwhile comes right after it. Other threads than the main one are never interrupted."""
    came: list[int] = []
    handlers: dict[signal.Signals, Any] = {}
    try:
        for number in _INTERRUPTS if threading.current_thread() is threading.main_thread() else ():
            if callable(handler := signal.getsignal(number)):
                handlers[number] = handler
                signal.signal(number, lambda received, _: came.append(received))
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])
