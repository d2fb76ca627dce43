"""A compiler as a process: in a group of its own, which is ended whole, and with an output of which a bounded part is kept."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sandbox.children import signal_group, start_child
from sandbox.errors import PreconditionError
from sandbox.wait import Stopwatch

END_TIMEOUT_S = 2.0
LAST_WORDS_S = 1.0
"""How long output is awaited after the end: a process that left the group may hold the pipe."""
LOOK_EVERY_S = 0.02
KEPT_BYTES = 64 * 1024
"""Of the output's begin, and as much of its end."""
_CHUNK = 16 * 1024


class BuildCancelledError(Exception):
    """Somebody did not want the build any more. Nothing failed, and nothing is left of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """How a program ended (negative: by a signal), and what it said on both outputs."""

    returncode: int
    lines: tuple[str, ...]
    elapsed_s: float


def run(command: Sequence[str], *, folder: Path, environment: Mapping[str, str], cancelled: threading.Event) -> Ran:
    """Run a program to its end, and end whatever it leaves in its group.

    Raises: BuildCancelledError once `cancelled` is set; PreconditionError when there is no such program.
    """
    ended, said, begun = threading.Event(), _Said(), Stopwatch()
    try:
        process = start_child(command, folder=folder, environment=environment)
    except OSError as error:
        raise PreconditionError(f"{command[0]} does not run: {error.strerror}", hint="sandbox doctor") from error
    try:
        reader = threading.Thread(target=said.read, args=(process.stdout,), name="compiler's output", daemon=True)
        threading.Thread(target=_await_end, args=(process, ended), name="compiler", daemon=True).start()
        reader.start()
        while not ended.wait(LOOK_EVERY_S):
            if cancelled.is_set():
                raise BuildCancelledError
        elapsed_s = begun.elapsed_s
    finally:
        _end(process, ended)
    reader.join(LAST_WORDS_S)
    return Ran(returncode=process.returncode, lines=said.lines(), elapsed_s=elapsed_s)


def _await_end(process: "subprocess.Popen[bytes]", ended: threading.Event) -> None:
    """It stays a zombie, and so the number of its group is nobody else's; macOS before Python 3.13 has no `waitid`."""
    with contextlib.suppress(ChildProcessError):  # it was killed, and reaped, meanwhile
        if hasattr(os, "waitid"):
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        else:
            process.wait()
    ended.set()


def _end(process: "subprocess.Popen[bytes]", ended: threading.Event) -> None:
    """Ask the group to end, then kill what is left of it, also when the wait is interrupted."""
    try:
        if not ended.is_set():
            signal_group(process, signal.SIGTERM)
            ended.wait(END_TIMEOUT_S)
    finally:
        signal_group(process, signal.SIGKILL)
        process.wait()


class _Said:
    """The begin and the end of an output."""

    def __init__(self) -> None:
        self._begin = bytearray()
        self._end = bytearray()
        self._left_bytes = 0

    def read(self, stream: IO[bytes]) -> None:
        with stream:
            while chunk := os.read(stream.fileno(), _CHUNK):
                room = KEPT_BYTES - len(self._begin)
                self._begin += chunk[:room]
                self._end += chunk[room:]
                if len(self._end) > 2 * KEPT_BYTES:
                    self._left_bytes += len(self._end) - KEPT_BYTES
                    del self._end[:-KEPT_BYTES]

    def lines(self) -> tuple[str, ...]:
        """What was kept, with a line for what was not."""
        begin, end = bytes(self._begin), bytes(self._end)
        between = f"\n[… {self._left_bytes:,} bytes …]\n".encode() if self._left_bytes else b""
        text = (begin + between + end).decode(errors="replace")
        return tuple(line.rstrip("\r") for line in text.rstrip("\n").split("\n")) if text else ()
