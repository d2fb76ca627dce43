"""The logs of a project's containers as one: what comes, over restarts of containers.

One thread waits for all of them at once. A slow reader leaves the rest with Docker, which keeps it; one that goes away leaves
nothing behind.
"""

import json
import math
import selectors
import time
from collections.abc import Iterator, Mapping

from sandbox.engines.docker.containers import PROJECT
from sandbox.engines.docker.logs.order import Pace
from sandbox.engines.docker.logs.project import ProjectLog
from sandbox.engines.docker.logs.reading import NS, LostError, Reading, Source, find_sources
from sandbox.engines.docker.logs.stream import Stream
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord

GRACE_S = 3.0
"""How long nothing may run before the stack counts as ended: a restart of all ends them first."""
LOOK_S = 5.0
"""How often to look for containers although the engine told of none: it drops events that are not fetched in time."""
SETTLE_S = 0.02
"""From an event to that look, for others that come with it."""


class Live:
    """What comes, from all containers that run or will."""

    def __init__(self, log: ProjectLog) -> None:
        """Raises: LostError."""
        self._log = log
        self._readings: dict[str, Reading] = {}
        self._drained: set[str] = set()
        self._look_at_s = 0.0
        self._quiet_since_s: float | None = None
        self._steady_since_s = math.inf
        self._over = False
        self._pace = Pace()
        self._reached_ns = math.inf
        self._selector = selectors.DefaultSelector()
        filters = {"type": ["container"], "label": [f"{PROJECT}={log.project}"], "event": ["start", "die", "destroy"]}
        try:
            self._events = Stream(log.client, "/events", {"filters": json.dumps(filters)}, timeout_s=None)
        except OSError as error:
            self._selector.close()
            raise LostError(str(error)) from error
        self._selector.register(self._events, selectors.EVENT_READ)

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

        Raises: LostError or StackError, after what had come.
        """
        try:
            while not self._over:
                self._step()
                for _, record in self._log.sorter.due(time.monotonic_ns(), self._reached_ns):
                    yield record
        except StackError:
            yield from self._log.rest()
            raise
        yield from self._log.rest()

    def _step(self) -> None:
        """Wait for what comes next, and take it."""
        now_s = time.monotonic()
        if now_s >= self._look_at_s:
            self._look_at_s = now_s + LOOK_S
            self._look(now_s)
            if self._over:
                return
        ready = [key.fileobj for key, _ in self._selector.select(self._wait_s())]
        if self._events in ready:
            self._take_events()
        self._take_lines({reading.source.id: reading for reading in ready if isinstance(reading, Reading)})

    def _wait_s(self) -> float:
        now_ns = time.monotonic_ns()
        until_look_ns = int(self._look_at_s * NS) - now_ns
        waits_ns = (until_look_ns, self._log.sorter.wait_ns(now_ns, self._reached_ns), self._pace.wait_ns(now_ns))
        return max(0.0, min(wait_ns for wait_ns in waits_ns if wait_ns is not None) / NS)

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
        self._selector.register(reading, selectors.EVENT_READ)

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

    def _take_lines(self, ready: Mapping[str, Reading]) -> None:
        for container in self._pace.furthest_behind(ready):
            self._take(ready[container])
        self._reached_ns = self._pace.reached_ns(time.monotonic_ns(), self._readings.keys() & ready)

    def _take(self, reading: Reading) -> None:
        container, found, now_ns = reading.source.id, reading.read(), time.monotonic_ns()
        if reading.newest_ns:
            self._pace.came(container, reading.newest_ns, now_ns)
        if reading.ended:
            found += reading.finish()
            self._selector.unregister(reading)
            self._pace.gone(container)
            del self._readings[container]
            reading.close()
            self._look_soon()
        for ns, record in found:
            self._log.sorter.add(ns, record, now_ns)
