"""The logs of a project's containers as one: what is there, in the order of its times, and how far it was read."""

import contextlib
import heapq
import itertools
import math
import operator
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from sandbox.engines.docker.logs.lines import Position
from sandbox.engines.docker.logs.order import Sorter
from sandbox.engines.docker.logs.reading import NS, LostError, Reading, Source, find_sources
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord

if TYPE_CHECKING:
    from docker import APIClient

MIN_LAST, GROWTH = 100, 8
"""How many messages of each container to ask for at first, and how many times more if those were too few."""


class ProjectLog:
    """What was read so far, by container."""

    def __init__(self, client: "APIClient", project: str, services: Collection[str], since_s: float | None) -> None:
        self.client = client
        self.project = project
        self._services = services
        self._from_ns = 0 if since_s is None else _first_ns(since_s)
        self._positions: dict[str, Position] = {}
        self.sorter = Sorter()

    @property
    def is_begun(self) -> bool:
        """Whether any container's log was asked for."""
        return bool(self._positions)

    def past(self, *, goes_on: bool, last: int | None = None) -> Iterator[LogRecord]:
        """What is there and was not read yet. `goes_on`: lines without an end are left for later.

        `last` messages of each container at most, of which the first can be the rest of a line.

        Raises: LostError or StackError, after what could be read.
        """
        with contextlib.ExitStack() as opened:
            for _, record in self._merge(self._open_all(opened, last=last), goes_on=goes_on):
                yield record
        if not goes_on:
            yield from self.rest()

    def last(self, count: int, wanted: Callable[[LogRecord], bool], *, goes_on: bool) -> Sequence[LogRecord]:
        """The last `count` that are wanted of what is there; the rest of it counts as read.

        Only the ends of the logs are asked for, and more when that turns out to be too little.
        """
        ask = MIN_LAST + 2 * count
        while True:
            self._positions.clear()
            with contextlib.ExitStack() as opened:
                readings = self._open_all(opened, last=ask)
                lines = itertools.chain(self._merge(readings, goes_on=goes_on), self.sorter.rest())
                found = deque((line for line in lines if wanted(line[1])), maxlen=count)
            whole_after_ns = max((reading.whole_after_ns for reading in readings), default=-math.inf)
            if whole_after_ns == -math.inf or not count or (len(found) == count and found[0][0] > whole_after_ns):
                break
            ask *= GROWTH
        for reading in readings:
            if reading.whole_after_ns != -math.inf:
                self._positions[reading.source.id].forget_before()
        for ns, record in found:
            self.sorter.add(ns, record, time.monotonic_ns())
        newest_ns = found[-1][0] if found else 0
        return [record for _, record in (self.sorter.before(newest_ns) if goes_on else self.sorter.rest())]

    def rest(self) -> Iterator[LogRecord]:
        """The newest of what is there: until something comes after them, it is not known that they are the next."""
        for _, record in self.sorter.rest():
            yield record

    def _open_all(self, opened: contextlib.ExitStack, *, last: int | None = None) -> list[Reading]:
        sources = filter(self.wants, find_sources(self.client, self.project))
        return [opened.enter_context(contextlib.closing(self.open(source, last=last))) for source in sources]

    def wants(self, source: Source) -> bool:
        """Whether this container was asked for."""
        return not self._services or source.service in self._services

    def open(self, source: Source, *, follow: bool = False, last: int | None = None) -> Reading:
        """Go on with the log of a container, or begin it."""
        position = self._positions.setdefault(source.id, Position(self._from_ns))
        return Reading(self.client, source, position, follow=follow, last=last)

    def _merge(self, readings: Sequence[Reading], *, goes_on: bool) -> Iterator[tuple[int, LogRecord]]:
        failed: list[Exception] = []

        def lines(reading: Reading) -> Iterator[tuple[int, LogRecord]]:
            try:
                while not reading.ended:
                    yield from reading.read()
            except (LostError, StackError) as error:
                failed.append(error)
            else:
                yield from () if goes_on else reading.finish()

        newest_ns = 0
        for ns, record in heapq.merge(*map(lines, readings), key=operator.itemgetter(0)):
            newest_ns = max(newest_ns, ns)
            self.sorter.add(ns, record, time.monotonic_ns())
            yield from self.sorter.before(newest_ns)
        if failed:
            yield from self.sorter.rest()
            raise failed[0]


def _first_ns(since_s: float) -> int:
    """The first nanosecond whose record is not before `since_s`: a float has 238 of them."""
    return next(ns for ns in itertools.count(max(0, int(since_s * NS) - 500)) if ns / NS >= since_s)
