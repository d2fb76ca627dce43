"""Looks one request up where it left traces: in the console's stream of exchanges, and in Envoy's access log."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.engines.base import Engine
from sandbox.errors import StackError
from sandbox.events import LogRecord, TapState, Watched
from sandbox.observe.access import Access, parse_access
from sandbox.observe.exchange import Exchange, value_of
from sandbox.session.context import Context
from sandbox.session.stream import open_stream
from sandbox.stack import ENVOY, Endpoints
from sandbox.wait import Deadline

if TYPE_CHECKING:
    import httpx2

PATIENCE_S = 2.0
"""For the taps to be attached, and for an exchange to come: milliseconds both, but while Envoy compiles a filter."""
LOGGED_S = 0.5
POLL_S = 0.01
CLOCKS_S = 1.0
"""What Envoy's and our clock may differ, where it runs in a machine of its own."""
REQUEST_ID = "x-request-id"


class Watcher:
    """Sees what passes the ingress from its creation on. `problem` says why it does not."""

    def __init__(self, records: Iterator[Watched] | None) -> None:
        self._records = records
        self.problem: str | None = None
        if records:
            self._await_attached()

    def find(self, request_id: str) -> Exchange | None:
        """The exchange with that x-request-id, or None for the reason in `problem`."""
        if self.problem or self._records is None:
            return None
        deadline = Deadline(PATIENCE_S)
        try:
            for record in self._records:
                if isinstance(record, Exchange) and request_id in _ids(record):
                    return record
                if deadline.over:
                    break
        except StackError as error:
            self.problem = error.message
            return None
        self.problem = "the taps did not show it in time"
        return None

    def _await_attached(self) -> None:
        assert self._records is not None
        deadline = Deadline(PATIENCE_S)
        try:
            for record in self._records:
                if isinstance(record, TapState):
                    self.problem = record.reason
                    if record.share not in (None, 1):
                        self.problem = f"there is so much traffic that only one of {record.share} requests is looked at"
                    if record.attached or deadline.over:
                        return
        except StackError as error:
            self.problem = error.message


def _ids(exchange: Exchange) -> tuple[str | None, ...]:
    """Before the filter, and behind it, which may have changed it."""
    return exchange.id, value_of(exchange.request.after or (), REQUEST_ID)


@contextmanager
def watching(context: Context, client: "httpx2.Client", endpoints: Endpoints, *, wanted: bool) -> Iterator[Watcher]:
    """Watch, if that is wanted; a stream that can't be had is the watcher's `problem`."""
    if not wanted:
        yield Watcher(None)
        return
    try:
        stream = open_stream(client, endpoints, context.state, secrets=True, silence_s=PATIENCE_S)
        records = stream.__enter__()
    except StackError as error:
        watcher = Watcher(None)
        watcher.problem = error.message
        yield watcher
        return
    try:
        yield Watcher(records)
    finally:
        stream.__exit__(None, None, None)


def find_access(engine: Engine, request_id: str, *, since_s: float) -> Access | None:
    """What Envoy's access log says of it, which comes when the answer has ended; None when it does not come in time."""

    def is_it(record: LogRecord) -> bool:
        return request_id in record.line

    deadline = Deadline(LOGGED_S)
    while True:
        records = engine.logs(services=(ENVOY.name,), since_s=since_s - CLOCKS_S, tail=None, follow=False, matching=is_it)
        for record in records:
            access = parse_access(record.line)
            if access and access.id == request_id:
                return access
        if deadline.over:
            return None
        time.sleep(POLL_S)
