"""Whether the stack really does its job: the filter's headers on a response, a token that verifies, the right module."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sandbox.engines.base import Engine
from sandbox.envoy.resource import Injected
from sandbox.errors import RefusedError, StackError
from sandbox.events import EngineEvent, ServiceExited
from sandbox.observe.envoy_log import refusal
from sandbox.observe.token import Token, decode_token
from sandbox.session.context import open_client
from sandbox.stack import CONSOLE_PORT, ENVOY, INGRESS, Endpoints
from sandbox.wait import Deadline

if TYPE_CHECKING:
    import httpx2

ATTEMPT_TIMEOUT_S = 0.25
PAUSE_S = 0.01
UNFILTERED_STATUS = 500
LOOK_EVERY_S = 0.25


class PortTakenError(Exception):
    """Another program took one of Envoy's ports after it was chosen."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """The proof: the filter's headers as they arrived, and the token among them."""

    headers: tuple[tuple[str, str], ...]
    token: Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """Which filter is meant to be live, and what it injects. Travels as labels of the stack."""

    version: str
    module: str
    injected: Injected

    def labels(self) -> dict[str, str]:
        """As what the engine keeps with the stack."""
        injected = {f"inject.{name}": str(value) for name, value in asdict(self.injected).items()}
        return {"filter.version": self.version, "filter.module": self.module, **injected}

    @property
    def sha256(self) -> str:
        """The module's content hash."""
        return self.version.partition("-")[0]


def parse_expected(labels: Mapping[str, str]) -> Expected:
    """Turn `Expected.labels` back."""
    injected = {name.removeprefix("inject."): value for name, value in labels.items() if name.startswith("inject.")}
    return Expected(version=labels["filter.version"], module=labels["filter.module"], injected=Injected(**injected))


def injected_headers(response: "httpx2.Response", injected: Injected) -> tuple[tuple[str, str], ...]:
    """The filter's headers, where its configuration says they go: on the response, or in the request that the echo shows."""
    if injected.where == "request":
        try:
            pairs = [(str(name), str(value)) for name, value in response.json()["headers"]]
        except (ValueError, KeyError, TypeError):
            pairs = []
    else:
        pairs = [(name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in response.headers.raw]
    ours = {injected.marker_header, injected.token_header}
    return tuple((name, value) for name, value in pairs if name in ours)


def await_ready(
    next_events: Callable[[float], Sequence[EngineEvent]],
    engine: Engine,
    endpoints: Endpoints,
    expected: Expected,
    deadline: Deadline,
) -> Iterator[EngineEvent | Seen]:
    """Yield what happens until the stack has proven itself; the last item is the proof. `next_events` waits that long for some.

    Raises: StackError when a service exits or the time is up, with the last failure; RefusedError when Envoy does not take the
    filter; PortTakenError when Envoy could not bind.
    """
    failure = _Miss(reason="no answer yet")
    next_look = Deadline(LOOK_EVERY_S)
    with open_client(ATTEMPT_TIMEOUT_S) as client:
        while not deadline.over:
            events = next_events(PAUSE_S)
            yield from events
            _raise_exit(events)
            outcome = _attempt(client, endpoints, expected)
            if isinstance(outcome, Seen):
                yield from next_events(0.0)
                yield outcome
                return
            failure = outcome
            if next_look.over:
                _look_into_log(engine, failure)
                next_look = Deadline(LOOK_EVERY_S)
    raise StackError(
        f"the stack did not get ready in {deadline.timeout_s:g} s; last: {failure.reason}",
        hint="sandbox up --keep, then sandbox logs",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Miss:
    """Why an attempt was no proof. `unfiltered`: Envoy answered in place of a filter that it did not take."""

    reason: str
    unfiltered: bool = False


def _attempt(client: "httpx2.Client", endpoints: Endpoints, expected: Expected) -> Seen | _Miss:
    import httpx2

    console = endpoints.host[CONSOLE_PORT.name].url
    try:
        response = client.get(endpoints.host[INGRESS.name].url + "/")
        headers = injected_headers(response, expected.injected)
        token = dict(headers).get(expected.injected.token_header)
        if dict(headers).get(expected.injected.marker_header) is None or token is None:
            seen = ", ".join(dict(headers)) or "none"
            return _Miss(
                reason=f"HTTP {response.status_code}; headers of the filter: {seen}",
                unfiltered=response.status_code == UNFILTERED_STATUS and not headers,
            )
        decoded = decode_token(token, client.get(f"{console}/api/jwks").raise_for_status().json())
        if decoded is None or not decoded.verified:
            return _Miss(reason=f"the token: {decoded.problem if decoded else 'no JWT'}")
        live = client.get(f"{console}/api/status").raise_for_status().json()["filter"]["version"]
        if live != expected.version:
            return _Miss(reason=f"Envoy serves the filter {live}, not {expected.version}")
        return Seen(headers=headers, token=decoded)
    except httpx2.HTTPError as error:
        return _Miss(reason=f"{type(error).__name__}: {error}")


def _raise_exit(events: Sequence[EngineEvent]) -> None:
    for event in events:
        if not isinstance(event, ServiceExited):
            continue
        if event.service == ENVOY.name and any(map(_port_taken, event.tail)):
            raise PortTakenError
        how = f"signal {-event.returncode}" if event.returncode < 0 else f"code {event.returncode}"
        raise StackError(
            f"{event.service} ended while starting, with {how}",
            details="\n".join(event.tail),
            hint=f"sandbox logs {event.service}",
        )


def _port_taken(line: str) -> bool:
    return "Address already in use" in line or "cannot listen()" in line


def _look_into_log(engine: Engine, failure: _Miss) -> None:
    """Find out what Envoy says only there.

    It binds early, listens late and lives on when it cannot: then whoever answers on that port is not ours. And with a
    refused filter every request is 500 while it counts as live.
    """
    lines = [record.line for record in engine.logs(services=(ENVOY.name,), since_s=None, tail=None, follow=False)]
    if any(map(_port_taken, lines)):
        raise PortTakenError
    reason = refusal(lines) if failure.unfiltered else None
    if reason:
        raise RefusedError(f"Envoy refused the filter: {reason}", hint="envoy/xds/filter.yaml holds its configuration")
