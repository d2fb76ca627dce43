"""`curl`: one request through Envoy, what came back, and what the filter did to both."""

import contextlib
import time
import uuid
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.errors import ConfigError, StackError
from sandbox.events.exchange import Answer, Piece, Timing
from sandbox.observe.access import Access, settle
from sandbox.observe.exchange import REQUEST_ID, Exchange, value_of
from sandbox.observe.headers import Headers
from sandbox.observe.token import decode_token
from sandbox.session.console import find_expected, read_jwks, read_status
from sandbox.session.context import Context, open_client, running_stack
from sandbox.session.expected import Expected, parse_expected, read_headers
from sandbox.session.look import Watcher, find_access, watching
from sandbox.session.no_token import why_no_token
from sandbox.session.target import find_redirect, find_target
from sandbox.stack import INGRESS, Endpoints

if TYPE_CHECKING:
    import httpx2

REQUEST_TIMEOUT_S = 30.0
MAX_REDIRECTS = 10
_TO_GET = (301, 302, 303)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send. `bypass`: around the filter. `follow` redirects. `look`: see what the filter does and where time goes."""

    method: str
    path: str
    headers: Headers
    body: bytes | None
    bypass: bool = False
    follow: bool = False
    look: bool = True


def find_url(context: Context, request: Request) -> str:
    """Where `request` goes.

    Raises: StackError when no stack runs; ConfigError for a URL of elsewhere.
    """
    import httpx2

    _, endpoints = running_stack(context)
    name, path = find_target(request.path, endpoints, bypass=request.bypass)
    return str(httpx2.URL(endpoints.host[name].url + path))


def send(context: Context, request: Request, *, repeat: int = 1) -> Iterator[Answer | Piece | Timing]:
    """Send `request` through Envoy: the answer's head, its body, and the timing, for each time.

    Redirects that are followed have an `Answer` of their own each; the body is the last one's.

    Raises: StackError when no stack runs or it does not answer; ConfigError for a request that cannot be sent.
    """
    found, endpoints = running_stack(context)
    name, _ = find_target(request.path, endpoints, bypass=request.bypass)
    wanted = request.look and name == INGRESS.name
    with open_client(REQUEST_TIMEOUT_S) as client, watching(context, client, endpoints, wanted=wanted) as watcher:
        client.headers.clear()
        client.headers.update({"user-agent": "sandbox-curl", "accept": "*/*"})
        expected = find_expected(found, read_status(client, endpoints)) or parse_expected(found.labels or {})
        sender = _Sender(context, client, endpoints, expected, watcher)
        for _ in range(repeat):
            yield from sender.send(request)


def send_both_ways(context: Context, request: Request) -> tuple[list[Answer | Piece | Timing], ...]:
    """`send` through the ingress, then the same, Host and x-request-id included, around the filter.

    Raises: as `send`.
    """
    _, endpoints = running_stack(context)
    own = {"host": endpoints.host[INGRESS.name].authority, REQUEST_ID: str(uuid.uuid4())}
    added = tuple(pair for pair in own.items() if value_of(request.headers, pair[0]) is None)
    same = replace(request, headers=(*added, *request.headers))
    return tuple(list(send(context, replace(same, bypass=bypass))) for bypass in (False, True))


class _Sender:
    """Sends with one client, and looks at what became of it."""

    def __init__(
        self, context: Context, client: "httpx2.Client", endpoints: Endpoints, expected: Expected, watcher: Watcher
    ) -> None:
        self._context = context
        self._client = client
        self._endpoints = endpoints
        self._expected = expected
        self._watcher = watcher

    def send(self, request: Request) -> Iterator[Answer | Piece | Timing]:
        """Send it, and what its redirects ask for."""
        name, path = find_target(request.path, self._endpoints, bypass=request.bypass)
        for hop in range(MAX_REDIRECTS + 1):
            sent_at, started_s = time.time(), time.monotonic()
            with self._open(request, self._endpoints.host[name].url + path) as response:
                elapsed_s = time.monotonic() - started_s
                access = None
                exchange, problem = self._watcher.find(response.headers.get(REQUEST_ID, ""))
                if exchange and exchange.answered_by is None:
                    access = find_access(self._context.engine, exchange.id, since_s=sent_at)
                    exchange = settle(exchange, access) if access else exchange
                answer = self._answer(response, exchange, elapsed_s=elapsed_s, filtered=name == INGRESS.name)
                yield self._explain(answer, problem) if request.look else answer
                if not (request.follow and response.has_redirect_location and hop < MAX_REDIRECTS):
                    read_s = yield from self._read(response)
                    yield self._timing(response, access, total_s=elapsed_s + read_s, since_s=sent_at, look=request.look)
                    return
                name, path = find_redirect(response.headers["location"], str(response.url), self._endpoints)
                if response.status_code in _TO_GET and request.method != "HEAD":
                    request = replace(request, method="GET", body=None)

    @contextmanager
    def _open(self, request: Request, url: str) -> Iterator["httpx2.Response"]:
        import h11
        import httpx2

        try:
            prepared = self._client.build_request(request.method, url, headers=_encode(request.headers), content=request.body)
            response = self._client.send(prepared, stream=True)
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise ConfigError(f"cannot send that request: {error}", hint="sandbox curl --help") from error
        except httpx2.HTTPError as error:
            raise StackError(f"{url} does not answer: {type(error).__name__}: {error}", hint="sandbox status") from error
        with contextlib.closing(response):
            yield response

    def _answer(self, response: "httpx2.Response", exchange: Exchange | None, *, elapsed_s: float, filtered: bool) -> Answer:
        return Answer(
            method=response.request.method,
            url=str(response.url),
            http_version=response.http_version,
            status=response.status_code,
            reason=response.reason_phrase,
            request_headers=read_headers(response.request.headers.raw),
            headers=read_headers(response.headers.raw),
            elapsed_s=elapsed_s,
            exchange=exchange,
            unseen_because=None,
            filtered=filtered,
            token=None,
            no_token_because=None,
        )

    def _explain(self, answer: Answer, problem: str | None) -> Answer:
        """Add the token, or why there is none."""
        if not answer.filtered:
            return answer
        injected, exchange = self._expected.injected, answer.exchange
        ours = answer.headers
        if injected.where == "request":
            ours = exchange.request.after or () if exchange else ()
        value = value_of(ours, injected.token_header)
        if value is not None:
            return replace(answer, unseen_because=problem, token=decode_token(value, read_jwks(self._client, self._endpoints)))
        marked = value_of(ours, injected.marker_header) is not None
        if not self._expected.is_shipped and not marked:
            return replace(answer, unseen_because=problem)
        missing = why_no_token(self._client, self._endpoints, self._expected, exchange, marked=marked)
        return replace(answer, unseen_because=problem, no_token_because=missing)

    def _read(self, response: "httpx2.Response") -> Generator[Piece, None, float]:
        """The body; returns the seconds that it took, without those in which its pieces were used."""
        import httpx2

        pieces, read_s = response.iter_raw(), 0.0  # as curl: whoever asks for an encoding gets it
        try:
            while True:
                started_s = time.monotonic()
                data = next(pieces, None)
                read_s += time.monotonic() - started_s
                if data is None:
                    return read_s
                yield Piece(data=data)
        except httpx2.HTTPError as error:
            raise StackError(f"the answer broke off: {error}", hint="sandbox logs envoy") from error

    def _timing(
        self, response: "httpx2.Response", access: Access | None, *, total_s: float, since_s: float, look: bool
    ) -> Timing:
        request_id = response.headers.get(REQUEST_ID)
        if look and access is None and request_id:
            access = find_access(self._context.engine, request_id, since_s=since_s)
        if access is None or access.total_us is None:
            return Timing(
                total_s=total_s, client_s=None, envoy_s=None, upstream_s=None, details=access.details if access else None
            )
        upstream_us = access.upstream_us or 0
        return Timing(
            total_s=total_s,
            client_s=max(total_s - access.total_us / 1e6, 0.0),
            envoy_s=max(access.total_us - upstream_us, 0) / 1e6,
            upstream_s=None if access.upstream_us is None else upstream_us / 1e6,
            details=access.details or access.flags,
        )


def _encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Values in UTF-8, as curl and httpie send what was typed."""
    return [(name.encode("ascii"), value.encode()) for name, value in headers]
