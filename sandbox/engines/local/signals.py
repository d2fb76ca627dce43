"""The signals that the supervisor handles: a handler only notes what came, and the loop decides."""

import contextlib
import os
import signal
from collections.abc import Iterable, Iterator

ENDING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
HANDLED = (*ENDING, signal.SIGCHLD)


class Signals:
    """Handlers for all of `HANDLED`. `handle` turns readable when one comes; `asked_to_end` says whether one of `ENDING` did."""

    def __init__(self) -> None:
        self.asked_to_end = False
        self.handle, write_end = os.pipe()
        os.set_blocking(self.handle, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in ENDING:
            signal.signal(number, lambda *_: self._note())

    def clear(self) -> None:
        """Make `handle` wait for the next one."""
        os.read(self.handle, 1 << 12)

    def _note(self) -> None:
        self.asked_to_end = True


@contextlib.contextmanager
def held() -> Iterator[Iterable[int]]:
    """Let signals wait meanwhile, around a fork; gives the mask that was in force, for `drop_handlers`."""
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, HANDLED)
    try:
        yield mask
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)


def drop_handlers(mask: Iterable[int]) -> None:
    """In a forked child: die of a signal as any process does, also of one that came since the fork."""
    signal.set_wakeup_fd(-1)
    for number in HANDLED:
        signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
