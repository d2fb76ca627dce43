"""Looks one request up where it left traces: in the console's stream of exchanges, and in Envoy's access log."""

import contextlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.engines.base import Engine
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.events.watch import TapState, Watched
from sandbox.observe.access import Access, parse_access, request_ids
from sandbox.observe.exchange import Exchange
from sandbox.session.context import Context
from sandbox.session.stream import open_stream
from sandbox.stack import ENVOY, Endpoints
from sandbox.wait import Deadline

if TYPE_CHECKING:
    import httpx2

PATIENCE_S = 2.0
"""For the taps to be attached, and for an exchange to come: milliseconds both, but while Envoy compiles a filter."""
LOGGED_S = 0.5
FIRST_PAUSE_S = 0.01
CLOCKS_S = 1.0
"""What Envoy's and our clock may differ, where it runs in a machine of its own."""


class Watcher:
    """Sees what passes the ingress from its creation on. Without `records` it sees nothing, for the reason in `problem`."""

    def __init__(self, records: Iterator[Watched] | None, problem: str | None = None) -> None:
        self._records = records
        self._problem = problem
        if records:
            self._await_attached(records)

    def find(self, request_id: str) -> tuple[Exchange | None, str | None]:
        """The exchange with that x-request-id, or None and why it was not seen (None: nobody was to look)."""
        if self._records is None:
            return None, self._problem
        deadline = Deadline(PATIENCE_S)
        try:
            for record in self._records:
                if isinstance(record, Exchange) and request_id in request_ids(record):
                    return record, None
                if isinstance(record, TapState):
                    self._problem = _problem_of(record)
                if deadline.over:
                    break
        except StackError as error:
            self._records, self._problem = None, self._problem or error.message
        return None, self._problem or "the taps did not show it in time"

    def _await_attached(self, records: Iterator[Watched]) -> None:
        deadline = Deadline(PATIENCE_S)
        try:
            for record in records:
                if isinstance(record, TapState):
                    self._problem = _problem_of(record)
                    if record.attached or deadline.over:
                        return
        except StackError as error:
            self._records, self._problem = None, self._problem or error.message


def _problem_of(state: TapState) -> str | None:
    if state.share not in (None, 1):
        return f"there is so much traffic that only one of {state.share} requests is looked at"
    return state.reason


@contextmanager
def watching(context: Context, client: "httpx2.Client", endpoints: Endpoints, *, wanted: bool) -> Iterator[Watcher]:
    """Watch, if that is wanted; that a stream can't be had is the watcher's problem, and nobody else's."""
    with contextlib.ExitStack() as stack:
        watcher = Watcher(None)
        if wanted:
            try:
                stream = open_stream(client, endpoints, context.state, secrets=True, silence_s=PATIENCE_S)
                watcher = Watcher(stack.enter_context(stream))
            except StackError as error:
                watcher = Watcher(None, error.message)
        yield watcher


def find_access(engine: Engine, request_id: str, *, since_s: float) -> Access | None:
    """What Envoy's access log says of it, which comes when the answer has ended; None when it does not come in time."""
    written = json.dumps(request_id)

    def is_it(record: LogRecord) -> bool:
        return written in record.line

    deadline, pause_s = Deadline(LOGGED_S), FIRST_PAUSE_S
    while True:
        with contextlib.suppress(StackError):
            records = engine.logs(
                services=(ENVOY.name,),
                since_s=since_s - CLOCKS_S,
                tail=None,
                follow=False,
                matching=is_it,
                containing=(written,),
            )
            for record in records:
                access = parse_access(record.line)
                if access and access.id == request_id:
                    return access
        if deadline.over:
            return None
        time.sleep(pause_s)
        pause_s *= 2
