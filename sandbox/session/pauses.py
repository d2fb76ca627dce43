"""Records as they come, and word of it when none does. A thread reads, because a reader that waits can't be asked."""

import contextlib
import queue
import threading
from collections.abc import Callable, Iterator
from typing import TypeVar

Record = TypeVar("Record")

MAX_AHEAD = 1000
"""Records that are read before somebody wants them."""
LOOK_S = 0.2


class _End:
    def __init__(self, error: BaseException | None) -> None:
        self.error = error


def with_pauses(records: Iterator[Record], wait_s: Callable[[], float | None]) -> Iterator[Record | None]:
    """The records, and None each time that `wait_s()` seconds have gone by without one; None there: wait for ever.

    Raises: what reading them raises.
    """
    ahead: queue.Queue[Record | _End] = queue.Queue(maxsize=MAX_AHEAD)
    stopped = threading.Event()
    threading.Thread(target=_read, args=(records, ahead, stopped), name="log reader", daemon=True).start()
    try:
        while True:
            try:
                found = ahead.get(timeout=wait_s())
            except queue.Empty:
                yield None
                continue
            if isinstance(found, _End):
                if found.error:
                    raise found.error
                return
            yield found
    finally:
        stopped.set()


def _read(records: Iterator[Record], ahead: "queue.Queue[Record | _End]", stopped: threading.Event) -> None:
    end = _End(None)
    try:
        with contextlib.closing(records):  # type: ignore[type-var] # every engine has a generator
            for record in records:
                if not _put(ahead, record, stopped):
                    return
    except BaseException as error:
        end = _End(error)
    _put(ahead, end, stopped)


def _put(ahead: "queue.Queue[Record | _End]", item: Record | _End, stopped: threading.Event) -> bool:
    """False when nobody wants it any more."""
    while not stopped.is_set():
        with contextlib.suppress(queue.Full):
            ahead.put(item, timeout=LOOK_S)
            return True
    return False
