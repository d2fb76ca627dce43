"""Whether the stack really does its job: the filter's headers on a response, a token that verifies, the right module."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sandbox.engines.base import Engine
from sandbox.errors import StackError
from sandbox.events.stack import EngineEvent, ServiceHealthy, ServiceStarted
from sandbox.observe.headers import Headers
from sandbox.observe.token import Token, decode_token
from sandbox.session.console import ConsoleStatus, read_jwks, read_status
from sandbox.session.context import open_client
from sandbox.session.expected import Expected, injected_headers
from sandbox.session.verdict import LOOK_EVERY_S, filter_lines, raise_for_exit, raise_for_log
from sandbox.stack import ENVOY, INGRESS, Endpoints
from sandbox.wait import Deadline

if TYPE_CHECKING:
    import httpx2

ATTEMPT_TIMEOUT_S = 0.25
"""Short, so that a service that ends is seen soon; an answer that is late is asked for again."""
PAUSE_S = 0.01
UNFILTERED_STATUS = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The proof: the filter's headers as they arrived, and the token among them. Only a filter that is shipped must have both."""

    headers: Headers
    token: Token | None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Miss:
    """Why an attempt was no proof. `unfiltered`: Envoy answered in place of a filter that it did not take."""

    reason: str
    unfiltered: bool = False


def await_ready(
    next_events: Callable[[float], Sequence[EngineEvent]],
    engine: Engine,
    endpoints: Endpoints,
    expected: Expected,
    deadline: Deadline,
    *,
    started: bool,
) -> Iterator[EngineEvent | Seen]:
    """Yield what happens until the stack has proven itself; the last item is the proof. `next_events` waits that long for some.

    `started`: Envoy is, already. Before that nobody is asked: a packet to a container that is not there yet is lost for a second.

    Raises: StackError when a service exits or the time is up, with the last failure; RefusedError when Envoy does not take the
    filter; PortTakenError when Envoy could not bind.
    """
    started_at = time.time()
    failure = _Miss(reason="Envoy was not started")
    awaited: dict[str, None] = {}
    next_look = Deadline(LOOK_EVERY_S)
    with open_client(ATTEMPT_TIMEOUT_S) as client:
        while not deadline.over:
            events = next_events(PAUSE_S)
            yield from events
            raise_for_exit(events)
            started = started or any(isinstance(event, ServiceStarted) and event.service == ENVOY.name for event in events)
            if not started:
                _note_health(awaited, events)
                if awaited:
                    failure = _Miss(reason=f"Envoy was not started: it waits for {', '.join(awaited)} to be healthy")
                continue
            outcome = _attempt(client, endpoints, expected)
            if isinstance(outcome, Seen):
                yield from next_events(0.0)
                yield outcome
                return
            failure = outcome
            if next_look.over:
                raise_for_log(engine, since_s=started_at, unfiltered=failure.unfiltered)
                next_look = Deadline(LOOK_EVERY_S)
    raise StackError(
        f"the stack did not get ready in {deadline.timeout_s:g} s; last: {failure.reason}",
        details=filter_lines(engine, since_s=started_at),
        hint="sandbox logs (and sandbox up --keep leaves the stack for a look)",
    )


def _note_health(awaited: dict[str, None], events: Sequence[EngineEvent]) -> None:
    """Keep in `awaited`, in order, who was started and is not healthy yet."""
    for event in events:
        match event:
            case ServiceStarted(service=service):
                awaited[service] = None
            case ServiceHealthy(service=service):
                awaited.pop(service, None)


def _attempt(client: "httpx2.Client", endpoints: Endpoints, expected: Expected) -> Seen | _Miss:
    import httpx2

    try:
        response = client.get(endpoints.host[INGRESS.name].url + "/")
    except httpx2.HTTPError as error:
        return _Miss(reason=f"{type(error).__name__}: {error}")
    headers = injected_headers(response, expected.injected)
    token = dict(headers).get(expected.injected.token_header)
    if not expected.is_shipped:
        return _attempt_any(client, endpoints, expected, response, headers)
    if token is None or expected.injected.marker_header not in dict(headers):
        seen = ", ".join(dict(headers)) or "none"
        unfiltered = response.status_code == UNFILTERED_STATUS and expected.injected.marker_header not in dict(headers)
        return _Miss(reason=f"HTTP {response.status_code}; headers of the filter: {seen}", unfiltered=unfiltered)
    decoded = decode_token(token, read_jwks(client, endpoints))
    if decoded is None or not decoded.verified:
        return _Miss(reason=f"the token: {decoded.problem if decoded else 'no JWT'}")
    doubt = _doubt(read_status(client, endpoints), expected)
    return _Miss(reason=doubt) if doubt else Seen(headers=headers, token=decoded)


def _attempt_any(
    client: "httpx2.Client", endpoints: Endpoints, expected: Expected, response: "httpx2.Response", headers: Headers
) -> Seen | _Miss:
    """Of a filter that nobody knows: Envoy has taken it, and something came through it. It may answer as it likes."""
    doubt = _doubt(read_status(client, endpoints), expected)
    if doubt:
        return _Miss(reason=doubt, unfiltered=response.status_code == UNFILTERED_STATUS)
    token = dict(headers).get(expected.injected.token_header)
    return Seen(headers=headers, token=decode_token(token, read_jwks(client, endpoints)) if token else None)


def _doubt(status: ConsoleStatus | None, expected: Expected) -> str:
    """What the console knows that speaks against it; nothing when all is well."""
    if status is None:
        return "the console does not answer"
    if status.filter_version != expected.version:
        return f"Envoy serves the filter {status.filter_version}, not {expected.version}"
    silent = [name for name, ready in status.ready.items() if not ready]
    return f"{', '.join(silent)} does not answer" if silent else ""
