"""Interrupts: whatever asks a verb for an end is KeyboardInterrupt, once and always."""

import _thread
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""What asks a verb for an end."""
_LATER_S = 0.001


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Signals that ask for an end raise KeyboardInterrupt in here, but for those that are ignored, as nohup has it.

    What comes after it, while the end is told and Python itself ends, ends the process as it ends any.
    """
    before, hook = {number: signal.getsignal(number) for number in ENDING}, sys.unraisablehook
    try:
        sys.unraisablehook = _interrupt_again
        for number, handler in before.items():
            if handler is not signal.SIG_IGN:
                signal.signal(number, _interrupt)
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        sys.unraisablehook = hook


def is_interrupt(error: BaseException | None) -> bool:
    """Whether one is at the root of it: before Python 3.12 one in a class body comes as another error."""
    while error is not None:
        if isinstance(error, KeyboardInterrupt):
            return True
        error = error.__cause__ or error.__context__
    return False


def forget_interrupt() -> None:
    """Have Python itself forget it: after one in a string of code, as a dataclass executes it, `python -m` ends by SIGINT."""
    exec("")  # noqa: S102 - a string that ends well is what makes it forget


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _interrupt_again(lost: Any) -> None:
    """Have one come again where Python lets no exception out, as in what ends an import's lock."""
    if lost.exc_type is KeyboardInterrupt:
        _thread.start_new_thread(_interrupt_later, ())
    else:
        sys.__unraisablehook__(lost)


def _interrupt_later() -> None:
    time.sleep(_LATER_S)
    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)  # type: ignore[arg-type]  # it has started
