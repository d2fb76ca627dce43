"""What has been read and not been taken yet: between the thread that reads and whoever shows it."""

import threading
from collections import deque

from sandbox.events.watch import Dropped, Told
from sandbox.observe.exchange import Exchange

Record = Exchange | Told
"""All that can be seen to happen; a block is a crash of the filter."""

MAX_WAITING = 2500
SLOW = "this terminal, or who reads from here, is slow"


class Waiting:
    """A bounded queue that loses the oldest first, and says how many exchanges these were."""

    def __init__(self) -> None:
        self._records: deque[Record] = deque()
        self._news = threading.Condition()
        self._lost = 0
        self._end: BaseException | None = None

    def put(self, record: Record) -> None:
        """Add a record; never waits."""
        with self._news:
            if len(self._records) >= MAX_WAITING:
                self._lost += _exchanges(self._records.popleft())
            self._records.append(record)
            self._news.notify()

    def end(self, error: BaseException) -> None:
        """Nothing comes any more, for this reason."""
        with self._news:
            self._end = error
            self._news.notify()

    def take(self, timeout_s: float) -> list[Record]:
        """Everything that is there; waits for the first, and returns nothing when the time is up.

        Raises: what `end` was given, after the last record was taken.
        """
        with self._news:
            self._news.wait_for(lambda: self._records or self._end, timeout_s)
            records = list(self._records)
            self._records.clear()
            if self._lost:
                records.insert(0, Dropped(count=self._lost, because=SLOW))
                self._lost = 0
            if not records and self._end:
                raise self._end
        return records


def _exchanges(record: Record) -> int:
    if isinstance(record, Dropped):
        return record.count
    return int(isinstance(record, Exchange))
