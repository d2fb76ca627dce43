"""The logs of a project's containers as one: what is there, and what comes, over restarts of containers and of the engine.

One thread waits for all containers at once. A slow reader leaves the rest with Docker, which keeps it; one that goes away leaves
nothing behind.
"""

import contextlib
import heapq
import json
import math
import operator
import selectors
import time
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

from sandbox.engines.docker.containers import PROJECT
from sandbox.engines.docker.log_lines import Position
from sandbox.engines.docker.log_order import Sorter
from sandbox.engines.docker.log_reading import NS, LostError, Reading, Source, find_sources
from sandbox.engines.docker.stream import Stream
from sandbox.events import LogRecord

if TYPE_CHECKING:
    from docker import APIClient

GRACE_S = 3.0
"""How long nothing may run before the stack counts as ended: a restart of all ends them first."""
LOOK_S = 5.0
"""How often to look for containers although the engine told of none: it drops events that are not fetched in time."""
SETTLE_S = 0.02
"""From an event to that look, for others that come with it."""
MIN_LAST, GROWTH = 100, 8
"""How many messages of each container to ask for at first, and how many times more if those were too few."""


class ProjectLog:
    """What was read so far, by container."""

    def __init__(self, client: "APIClient", project: str, services: Collection[str], since_s: float | None) -> None:
        self.client = client
        self.project = project
        self._services = services
        self._from_ns = int((since_s or 0.0) * NS)
        self._positions: dict[str, Position] = {}

    def past(self, *, goes_on: bool, last: int | None = None) -> Iterator[LogRecord]:
        """What is there and was not read yet. `goes_on`: lines without an end are left for later.

        `last` messages of each container at most, of which the first can be the rest of a line.

        Raises: LostError, after what could be read; StackError.
        """
        with contextlib.ExitStack() as opened:
            yield from _merge(self._open_all(opened, last=last), goes_on=goes_on)

    def last(self, count: int, wanted: Callable[[LogRecord], bool], *, goes_on: bool) -> Sequence[LogRecord]:
        """The last `count` that are wanted of what is there; the rest of it counts as read.

        Only the ends of the logs are asked for, and more when that turns out to be too little.
        """
        ask = MIN_LAST + GROWTH * count
        while True:
            self._positions.clear()
            with contextlib.ExitStack() as opened:
                readings = self._open_all(opened, last=ask)
                records = deque(filter(wanted, _merge(readings, goes_on=goes_on)), maxlen=count)
            whole_after_ns = max((reading.whole_after_ns for reading in readings), default=-math.inf)
            if whole_after_ns == -math.inf or not count or (len(records) == count and records[0].time_s * NS > whole_after_ns):
                break
            ask *= GROWTH
        for reading in readings:
            if reading.whole_after_ns != -math.inf:
                self._positions[reading.source.id].forget_before()
        return records

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


def _merge(readings: Sequence[Reading], *, goes_on: bool) -> Iterator[LogRecord]:
    lost: list[LostError] = []

    def lines(reading: Reading) -> Iterator[tuple[int, LogRecord]]:
        try:
            while not reading.ended:
                yield from reading.read()
        except LostError as error:
            lost.append(error)
        else:
            yield from () if goes_on else reading.finish()

    sorter, newest_ns = Sorter(), 0
    for ns, record in heapq.merge(*map(lines, readings), key=operator.itemgetter(0)):
        newest_ns = max(newest_ns, ns)
        sorter.add(ns, record, ns)
        yield from sorter.due(newest_ns)
    yield from sorter.rest()
    if lost:
        raise lost[0]


class Live:
    """What comes, from all containers that run or will."""

    def __init__(self, log: ProjectLog) -> None:
        """Raises: LostError."""
        self._log = log
        self._sorter = Sorter()
        self._readings: dict[str, Reading] = {}
        self._drained: set[str] = set()
        self._look_at_s = 0.0
        self._quiet_since_s: float | None = None
        self._steady_since_s = math.inf
        self._over = False
        self._selector = selectors.DefaultSelector()
        filters = {"type": ["container"], "label": [f"{PROJECT}={log.project}"], "event": ["start", "die", "destroy"]}
        try:
            self._events = Stream(log.client, "/events", {"filters": json.dumps(filters)}, timeout_s=None)
        except OSError as error:
            self._selector.close()
            raise LostError(str(error)) from error
        self._selector.register(self._events, selectors.EVENT_READ, self._take_events)

    def close(self) -> None:
        """Hang up everywhere."""
        self._events.close()
        for reading in self._readings.values():
            reading.close()
        self._selector.close()

    @property
    def lasted_s(self) -> float:
        """For how long the engine has answered."""
        return max(0.0, time.monotonic() - self._steady_since_s)

    def records(self) -> Iterator[LogRecord]:
        """The lines, as they come, until the stack has ended.

        Raises: LostError, after what had come.
        """
        try:
            while not self._over:
                self._step()
                yield from self._sorter.due(time.monotonic_ns())
        except LostError:
            yield from self._sorter.rest()
            raise
        yield from self._sorter.rest()

    def _step(self) -> None:
        """Wait for what comes next, and take it."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            self._look(now_s)
        held_ns = self._sorter.wait_ns(time.monotonic_ns())
        wait_s = self._look_at_s - now_s if held_ns is None else min(self._look_at_s - now_s, held_ns / NS)
        for key, _ in self._selector.select(max(0.0, wait_s)):
            key.data()

    def _look(self, now_s: float) -> None:
        """Begin to read what is new; find out whether the stack has ended."""
        sources = find_sources(self._log.client, self._log.project)
        self._steady_since_s = min(self._steady_since_s, now_s)
        for source in filter(self._log.wants, sources):
            if source.writes:
                self._drained.discard(source.id)
            if source.id not in self._readings and source.id not in self._drained:
                self._read(source)
        if any(source.lives for source in sources) or self._readings:
            self._quiet_since_s = None
            return
        self._quiet_since_s = self._quiet_since_s or now_s
        self._over = not sources or now_s - self._quiet_since_s >= GRACE_S
        self._look_at_s = min(self._look_at_s, self._quiet_since_s + GRACE_S)

    def _read(self, source: Source) -> None:
        """A container that has ended gets one reading more: for what it wrote at the end."""
        if not source.writes:
            self._drained.add(source.id)
        reading = self._readings[source.id] = self._log.open(source, follow=True)
        self._selector.register(reading, selectors.EVENT_READ, lambda: self._take_lines(reading))

    def _take_events(self) -> None:
        try:
            self._events.read()
        except OSError as error:
            raise LostError(str(error)) from error
        if self._events.ended:
            raise LostError("the engine ends")
        self._look_soon()

    def _look_soon(self) -> None:
        self._look_at_s = min(self._look_at_s, time.monotonic() + SETTLE_S)

    def _take_lines(self, reading: Reading) -> None:
        found, now_ns = reading.read(), time.monotonic_ns()
        if reading.ended:
            found += reading.finish()
            self._selector.unregister(reading)
            del self._readings[reading.source.id]
            reading.close()
            self._look_soon()
        for ns, record in found:
            self._sorter.add(ns, record, now_ns)
