"""Exchanges of which the taps can't tell who answered, or why: Envoy's log can. Many are looked up at once, and not too often."""

import contextlib
import json
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.observe.access import Access, parse_access, request_ids, settle
from sandbox.observe.envoy_log import parse_envoy_line
from sandbox.observe.exchange import Exchange
from sandbox.observe.panic import Block, PanicAssembler, can_be_of_panic
from sandbox.session.context import Context
from sandbox.session.look import CLOCKS_S
from sandbox.session.policy import read_policy
from sandbox.stack import ENVOY

FIRST_LOOK_S = 0.03
"""Envoy writes its log some milliseconds after the tap has told the end."""
PAUSE_S = 0.25
REST = 2.0
"""After a look-up of some length a pause of so many times that: the log can be long."""
PATIENCE_S = 0.5
"""How long Envoy's line may take."""
LOOK_S = 1.0
"""How long without a look while nothing waits."""
MAX_WAITING = 2000
MANY = 50
MAX_CRASHES = 100
_ACCESS, _OF_FILTER = '{"access"', '"logger":"wasm"'
_ID = re.compile(r'"id": ?(?:("(?:[^"\\]|\\.)*")|null)')


@dataclass(frozen=True, slots=True)
class Found:
    """What the log said: of requests, and of crashes of the filter."""

    accesses: tuple[Access, ...]
    crashes: tuple[Block[LogRecord], ...]


def look_up(context: Context, ids: frozenset[str], since_s: float) -> Found:
    """Read Envoy's log from then on, of the requests with these ids; nothing where it can't be read: the stack may be ending."""

    def matters(record: LogRecord) -> bool:
        if record.line.startswith(_ACCESS):
            found = _ID.search(record.line)
            return found is not None and (json.loads(found[1]) if found[1] else "") in ids
        return _OF_FILTER in record.line

    accesses: list[Access] = []
    crashes: list[Block[LogRecord]] = []
    assembler: PanicAssembler[LogRecord] = PanicAssembler()
    with contextlib.suppress(StackError, OSError):
        records = context.engine.logs(
            services=(ENVOY.name,),
            since_s=since_s,
            tail=None,
            follow=False,
            matching=matters,
            containing=(_OF_FILTER, _ACCESS) if ids else (_OF_FILTER,),
        )
        for record in records:
            access = parse_access(record.line)
            if access:
                accesses.append(access)
                continue
            line = parse_envoy_line(record.line)
            fed = assembler.feed(record, line) if can_be_of_panic(line) else ()
            crashes += [found for found in fed if isinstance(found, Block) and not found.panic.at_start]
    policy = read_policy(context) if crashes else None
    return Found(tuple(accesses), tuple(replace(crash, policy=policy) for crash in crashes))


class Undecided:
    """Exchanges that wait for Envoy's word on them."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, Exchange]] = deque()

    @property
    def since_s(self) -> float | None:
        """When the oldest of them began; None for none."""
        return min((exchange.time_s for _, exchange in self._waiting), default=None)

    @property
    def ids(self) -> frozenset[str]:
        """What they can be called in Envoy's log."""
        return frozenset(each for _, exchange in self._waiting for each in request_ids(exchange))

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, exchange: Exchange, now_s: float) -> Exchange | None:
        """Let it wait; returns the oldest one if there are too many."""
        self._waiting.append((now_s, exchange))
        return self._waiting.popleft()[1] if len(self._waiting) > MAX_WAITING else None

    def settle(self, accesses: Iterable[Access], asked_s: float) -> list[Exchange]:
        """Return those that Envoy's log has, and those that it should have had when it was asked."""
        by_id: dict[str, list[Access]] = {}
        for access in accesses:
            by_id.setdefault(access.id, []).append(access)
        done = []
        for _ in range(len(self._waiting)):
            came_s, exchange = self._waiting.popleft()
            found = _find(exchange, by_id)
            if found:
                done.append(settle(exchange, found))
            elif came_s + PATIENCE_S < asked_s:
                done.append(exchange)
            else:
                self._waiting.append((came_s, exchange))
        return done


def _find(exchange: Exchange, by_id: dict[str, list[Access]]) -> Access | None:
    """A client can choose the id, and so use one twice; what could not be parsed has none. So each line is for one."""
    for request_id in request_ids(exchange):
        for place, access in enumerate(by_id.get(request_id, ())):
            if exchange.status in {None, access.status}:
                return by_id[request_id].pop(place)
    return None


class Settling:
    """The thread that asks. `publish` gets each exchange once, and after it what the filter has crashed of.

    A filter also crashes where no request tells of it, as on a tick: so the log is looked into now and then in any case.
    """

    def __init__(
        self,
        look: Callable[[frozenset[str], float], Found],
        publish: Callable[[Exchange | Block[LogRecord]], None],
        *,
        begun_s: float,
    ) -> None:
        self._look = look
        self._publish = publish
        self._begun_s = begun_s
        self._undecided = Undecided()
        self._news = threading.Condition()
        self._told: deque[tuple[float, str]] = deque(maxlen=MAX_CRASHES)

    @property
    def is_behind(self) -> bool:
        """Whether so much waits that only what has to be is to be settled."""
        with self._news:
            return len(self._undecided) > MANY

    def put(self, exchange: Exchange) -> None:
        """Settle it soon; never waits."""
        with self._news:
            surplus = self._undecided.add(exchange, time.monotonic())
            self._news.notify()
        if surplus:
            self._publish(surplus)

    def run(self, stopped: threading.Event) -> None:
        """Look up what waits, again and again."""
        looked_s = time.time()
        while not stopped.is_set():
            with self._news:
                self._news.wait_for(lambda: len(self._undecided) > 0, LOOK_S)
                since_s, ids = self._undecided.since_s, self._undecided.ids
            if stopped.wait(FIRST_LOOK_S):
                return
            since_s = looked_s if since_s is None else min(since_s, looked_s)
            looked_s, asked_s = time.time(), time.monotonic()
            found = self._look(ids, since_s - CLOCKS_S)
            with self._news:
                settled = self._undecided.settle(found.accesses, asked_s)
            for exchange in settled:
                self._publish(exchange)
            self._tell(found.crashes)
            stopped.wait(max(PAUSE_S, REST * (time.monotonic() - asked_s)))

    def _tell(self, crashes: Iterable[Block[LogRecord]]) -> None:
        for block in list(crashes)[-MAX_CRASHES:]:
            last = block.items[-1]
            sign = (last.time_s, last.line)
            if sign not in self._told and last.time_s >= self._begun_s - CLOCKS_S:
                self._told.append(sign)
                self._publish(block)
