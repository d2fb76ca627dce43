"""Keys, as they are pressed. They are what the user asks for, as flags are; so they are read here, and nowhere below."""

import contextlib
import os
import select
import signal
import sys
import termios
import time
import tty
from typing import Any, Self

_REST_S = 0.03
"""Within which the rest of an arrow's sequence comes; else it was the key Esc."""
_MAX_BYTES = 1024
_SEQUENCES = {
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "pageup",
    b"\x1b[6~": "pagedown",
    b"\x1b[H": "home",
    b"\x1bOH": "home",
    b"\x1b[1~": "home",
    b"\x1b[F": "end",
    b"\x1bOF": "end",
    b"\x1b[4~": "end",
}
_NAMES = {"\r": "enter", "\n": "enter", "\x1b": "esc"}


class Keys:
    """Reads from the terminal key by key, without an echo, for as long as it is entered. Ctrl-C stays what it is.

    Where standard input is no terminal, or another program has it, there are no keys.
    """

    def __init__(self) -> None:
        self._fd: int | None = None
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        with contextlib.suppress(OSError, ValueError, AttributeError, termios.error):
            fd = sys.stdin.fileno()
            if os.tcgetpgrp(fd) == os.getpgrp():
                self._before = termios.tcgetattr(fd)
                self._fd = fd
                tty.setcbreak(fd)
        return self

    def __exit__(self, *_: object) -> None:
        if not self._before:
            return
        # In the background by now, we would be stopped for it.
        handler = signal.signal(signal.SIGTTOU, signal.SIG_IGN)
        with contextlib.suppress(termios.error, OSError):
            termios.tcsetattr(sys.stdin.fileno(), termios.TCSADRAIN, self._before)
        signal.signal(signal.SIGTTOU, handler)
        self._before, self._fd = [], None

    def read(self, timeout_s: float) -> list[str]:
        """The names of the keys that were pressed, letters as themselves; waits for the first."""
        data = self._read_bytes(timeout_s)
        while data and _is_begun(data) and (more := self._read_bytes(_REST_S)):
            data += more
        return parse_keys(data)

    def _read_bytes(self, timeout_s: float) -> bytes:
        if self._fd is None:
            time.sleep(timeout_s)
            return b""
        if not select.select([self._fd], [], [], timeout_s)[0]:
            return b""
        try:
            data = os.read(self._fd, _MAX_BYTES)
        except OSError:
            data = b""
        if not data:  # the terminal is gone
            self._fd = None
        return data


def _is_begun(data: bytes) -> bool:
    rest = data[data.rfind(b"\x1b") :] if b"\x1b" in data else b""
    return any(sequence.startswith(rest) and sequence != rest for sequence in _SEQUENCES) if rest else False


def parse_keys(data: bytes) -> list[str]:
    """Split what a terminal sends into keys; sequences that are not known are left out."""
    keys = []
    while data:
        if data[:1] == b"\x1b" and data[1:2] in {b"[", b"O"}:
            length = next((end + 1 for end in range(2, len(data)) if 0x40 <= data[end] <= 0x7E), len(data))
            name = _SEQUENCES.get(data[:length])
            keys += [name] if name else []
            data = data[length:]
        else:
            char = chr(data[0])
            keys.append(_NAMES.get(char, char))
            data = data[1:]
    return keys
