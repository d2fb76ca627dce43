"""Reads the console's stream for as long as the stack runs, in a thread: over restarts of Envoy and of the console."""

import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Self

from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.events.watch import FilterState, TapState, TokenState, Watched
from sandbox.observe.access import needs_log
from sandbox.observe.exchange import PROBE_ID, Exchange
from sandbox.observe.panic import Block
from sandbox.session.console import find_expected, read_status
from sandbox.session.context import ENDING_S, Context, open_client, running_stack
from sandbox.session.expected import Expected
from sandbox.session.stream import open_stream
from sandbox.session.watch.choice import Choice
from sandbox.session.watch.happened import States
from sandbox.session.watch.settling import Settling, look_up
from sandbox.session.watch.waiting import Record, Waiting
from sandbox.wait import Deadline

CONNECT_S = 5.0
RETRY_S = 0.1
REMEMBERED = 2000
"""Exchanges that are known again; the console keeps half as many."""
OVERLAP_S = 30.0
"""An exchange can come so long after its time: when it is over, or given up."""

NO_CONSOLE = "the console does not answer; what passes now can't be seen"


class Feed:
    """What happens from its entry on, or from `since_s` (epoch, UTC) as far as the console kept it.

    `expected` is the filter that was to be live at its entry. `at_once`: an exchange that Envoy's log is asked about comes twice,
    first as the taps tell it; else once, some tenths of a second late.
    """

    def __init__(self, context: Context, choice: Choice, *, since_s: float | None, secrets: bool, at_once: bool = False) -> None:
        self._context = context
        self._choice = choice
        self._since_s = since_s
        self._secrets = secrets
        self._at_once = at_once
        self._waiting = Waiting()
        self._stopped = threading.Event()
        self._states = States()
        self._begun_s = time.time()
        self._newest_s = 0.0
        self._seen: deque[tuple[str, float]] = deque(maxlen=REMEMBERED)
        self._connected = False
        self._told_lost = False
        self._share = 1
        self.expected: Expected | None = None
        look = partial(look_up, context)
        self._settling = Settling(look, self._choose, begun_s=self._begun_s if since_s is None else since_s)

    def __enter__(self) -> Self:
        """Begin to read.

        Raises: StackError when no stack runs.
        """
        found, endpoints = running_stack(self._context)
        with open_client(CONNECT_S) as client:
            self.expected = find_expected(found, read_status(client, endpoints))
        for work in (self._read, partial(self._settling.run, self._stopped)):
            # It can hang in a read when all else is done.
            threading.Thread(target=self._guard, args=(work,), name="watch", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()

    def take(self, timeout_s: float) -> list[Record]:
        """Everything that has happened; waits for the first, and returns nothing when the time is up.

        Raises: StackError when the stack has ended, or its console can't be asked at all.
        """
        return self._waiting.take(timeout_s)

    def _guard(self, work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # whoever takes gets it
            self._waiting.end(error)

    def _choose(self, record: Exchange | Block[LogRecord]) -> None:
        if not isinstance(record, Exchange) or self._choice.takes(record):
            self._waiting.put(record)

    def _read(self) -> None:
        while not self._stopped.is_set():
            try:
                self._read_once()
            except StackError:
                if not self._connected and self._context.engine.find().phase == "running":
                    raise
            self._await_console()

    def _read_once(self) -> None:
        _, endpoints = running_stack(self._context)
        since_s = self._since_s
        if self._connected:
            since_s = max(self._begun_s if since_s is None else since_s, self._newest_s - OVERLAP_S)
        again = frozenset(self._seen)
        with (
            open_client(CONNECT_S) as client,
            open_stream(client, endpoints, self._context.state, since_s=since_s, secrets=self._secrets) as records,
        ):
            for record in records:
                self._connected, self._told_lost = True, False
                if not isinstance(record, Exchange):
                    self._tell(record)
                elif record.id.startswith(PROBE_ID):
                    continue
                elif (record.id, record.time_s) not in again:
                    self._see(record)
                if self._stopped.is_set():
                    return

    def _see(self, exchange: Exchange) -> None:
        self._seen.append((exchange.id, exchange.time_s))
        self._newest_s = max(self._newest_s, exchange.time_s)
        # Under load the log is long, and why Envoy answered by itself is not worth the wait.
        busy = self._share > 1 or self._settling.is_behind
        wanted = needs_log(exchange) and not (exchange.answered_by and busy)
        if self._at_once or not wanted:
            self._choose(exchange)
        if wanted:
            self._settling.put(exchange)

    def _tell(self, record: Watched) -> None:
        self._waiting.put(record)
        if isinstance(record, TapState):
            self._share = record.share or 1
        if isinstance(record, FilterState | TokenState):
            for happened in self._states.feed(record, time.time()):
                self._waiting.put(happened)

    def _await_console(self) -> None:
        """Wait a moment, if the stack is there.

        Raises: StackError when it is not.
        """
        ending = Deadline(ENDING_S)
        while not self._stopped.wait(RETRY_S):
            phase = self._context.engine.find().phase
            if phase in {"running", "starting"}:
                if not self._told_lost:
                    self._waiting.put(TapState(attached=False, share=None, reason=NO_CONSOLE))
                    self._told_lost = True
                return
            if phase == "stopped" or ending.over:
                raise StackError(f"the stack has {'ended' if phase == 'stopped' else 'crashed'}", hint="sandbox up")
