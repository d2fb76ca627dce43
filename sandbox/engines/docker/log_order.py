"""Lines of several containers in the order of their times. No I/O."""

import heapq
import itertools
from collections.abc import Iterator

from sandbox.events import LogRecord

PATIENCE_NS = 50_000_000
"""How long a line is held for one that is older and comes later."""
MAX_HELD = 1000
"""Lines; then the oldest goes on without waiting."""


class Sorter:
    """Puts in order what comes a little out of order; lines of the same time stay as they came.

    `at_ns` is a clock that both sides agree on: the lines' own when all of them are there already, the machine's when they come.
    """

    def __init__(self) -> None:
        self._held: list[tuple[int, int, int, LogRecord]] = []
        self._number = itertools.count()

    def add(self, ns: int, record: LogRecord, at_ns: int) -> None:
        """Take a line of the time `ns` that came at `at_ns`."""
        heapq.heappush(self._held, (ns, next(self._number), at_ns, record))

    def due(self, at_ns: int) -> Iterator[LogRecord]:
        """The lines that were held long enough by now, or for which there is no room."""
        while self._held and (self._held[0][2] + PATIENCE_NS <= at_ns or len(self._held) > MAX_HELD):
            yield heapq.heappop(self._held)[3]

    def rest(self) -> Iterator[LogRecord]:
        """All that are still held."""
        while self._held:
            yield heapq.heappop(self._held)[3]

    def wait_ns(self, at_ns: int) -> int | None:
        """How long until the next line is due; None when nothing is held."""
        return max(0, self._held[0][2] + PATIENCE_NS - at_ns) if self._held else None
