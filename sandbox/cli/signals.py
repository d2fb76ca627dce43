"""Signals as facts, for a loop that has taken the terminal over: an exception at any moment could leave it as it is."""

import os
import signal
import time
from typing import Any, Self

from sandbox.cli.interrupts import ENDING

PATIENCE_S = 1.0
"""So long after the first one another signal does raise: then the loop hangs."""


class Signals:
    """While it is entered `to_end` and `to_pause` say what was asked for; those that are ignored stay so."""

    def __init__(self) -> None:
        self.to_end = False
        self.to_pause = False
        self._first_s = 0.0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (*ENDING, signal.SIGTSTP):
            before = signal.getsignal(number)
            if before is not signal.SIG_IGN:
                self._before[number] = before
                signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)

    def _take(self, number: int, _: object) -> None:
        if number == signal.SIGTSTP:
            self.to_pause = True
        elif not self.to_end:
            self.to_end, self._first_s = True, time.monotonic()
        elif time.monotonic() - self._first_s > PATIENCE_S:
            raise KeyboardInterrupt


def pause() -> None:
    """Stop, as Ctrl-Z does, until somebody lets us go on."""
    os.kill(os.getpid(), signal.SIGTSTP)
