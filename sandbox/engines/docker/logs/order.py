"""Lines of several containers in the order of their times. No I/O."""

import heapq
import itertools
import math
from collections.abc import Collection, Iterator

from sandbox.events.stack import LogRecord

PATIENCE_NS = 50_000_000
"""How long a line is held for one that is older and comes later."""
SILENCE_NS = 250_000_000
"""How long the others wait for a container that is behind and from which nothing comes."""
MAX_HELD, MAX_HELD_CHARS = 10_000, 4_000_000
"""Lines, and their text; what is more goes on without waiting, the oldest first."""


class Sorter:
    """Puts in order what comes a little out of order; lines of the same time stay as they came. Times are in nanoseconds."""

    def __init__(self) -> None:
        self._held: list[tuple[int, int, int, LogRecord]] = []
        self._chars = 0
        self._number = itertools.count()

    def add(self, ns: int, record: LogRecord, at_ns: int) -> None:
        """Take a line of the time `ns` that came at `at_ns` by the machine's clock."""
        heapq.heappush(self._held, (ns, next(self._number), at_ns, record))
        self._chars += len(record.line)

    def before(self, newest_ns: int) -> Iterator[tuple[int, LogRecord]]:
        """Of lines that are all there already: those than which nothing after one of `newest_ns` will be older."""
        while self._held and (self._held[0][0] <= newest_ns - PATIENCE_NS or self._is_full()):
            yield self._pop()

    def due(self, at_ns: int, reached_ns: float) -> Iterator[tuple[int, LogRecord]]:
        """Of lines as they come: those that were held long enough by now, and are not newer than what all have reached."""
        while self._held and ((self._held[0][2] + PATIENCE_NS <= at_ns and self._held[0][0] <= reached_ns) or self._is_full()):
            yield self._pop()

    def rest(self) -> Iterator[tuple[int, LogRecord]]:
        """All that are still held."""
        while self._held:
            yield self._pop()

    def wait_ns(self, at_ns: int, reached_ns: float) -> int | None:
        """How long until a line is due; None while that is not a matter of time."""
        if not self._held or self._held[0][0] > reached_ns:
            return None
        return max(0, self._held[0][2] + PATIENCE_NS - at_ns)

    def _is_full(self) -> bool:
        return len(self._held) > MAX_HELD or self._chars > MAX_HELD_CHARS

    def _pop(self) -> tuple[int, LogRecord]:
        ns, _, _, record = heapq.heappop(self._held)
        self._chars -= len(record.line)
        return ns, record


class Pace:
    """How far each container has come. An engine that has much to do tells of one later than of another.

    A container is behind while its newest line is older than another's by more than is normal, for as long as more comes.
    """

    def __init__(self) -> None:
        self._newest_ns: dict[str, int] = {}
        self._behind_until_ns: dict[str, int] = {}

    def came(self, container: str, newest_ns: int, at_ns: int) -> None:
        """Lines up to `newest_ns` came from this container."""
        self._newest_ns[container] = newest_ns
        if newest_ns + PATIENCE_NS < max(self._newest_ns.values()):
            self._behind_until_ns[container] = at_ns + SILENCE_NS
        else:
            self._behind_until_ns.pop(container, None)

    def gone(self, container: str) -> None:
        """Nothing more comes from it."""
        self._newest_ns.pop(container, None)
        self._behind_until_ns.pop(container, None)

    def furthest_behind(self, ready: Collection[str]) -> list[str]:
        """Of containers that have more, those to read first, so that all go on together."""
        times = {container: self._newest_ns.get(container, 0) for container in ready}
        return [container for container in ready if times[container] <= min(times.values()) + PATIENCE_NS]

    def reached_ns(self, at_ns: int, ready: Collection[str]) -> float:
        """Up to when nothing is missing: of those that are behind, and of those that have more."""
        behind = (container for container, until_ns in self._behind_until_ns.items() if until_ns > at_ns)
        return min((self._newest_ns.get(container, math.inf) for container in {*behind, *ready}), default=math.inf)

    def wait_ns(self, at_ns: int) -> int | None:
        """How long until one that is behind is waited for no longer; None when none is."""
        return min((until_ns - at_ns for until_ns in self._behind_until_ns.values() if until_ns > at_ns), default=None)
