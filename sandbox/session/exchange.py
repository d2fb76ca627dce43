"""`curl`: one request through Envoy, and what came back."""

import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from sandbox.envoy.resource import Injected
from sandbox.errors import ConfigError, StackError
from sandbox.events import Answer
from sandbox.observe.headers import Headers
from sandbox.observe.token import decode_token
from sandbox.session.console import read_jwks, read_status
from sandbox.session.context import Context, open_client, running_stack
from sandbox.session.expected import Expected, injected_headers, parse_expected, read_headers
from sandbox.stack import BYPASS, INGRESS, Endpoints

if TYPE_CHECKING:
    import httpx2

REQUEST_TIMEOUT_S = 30.0
_AUTHORITY = re.compile(r"(localhost|127\.0\.0\.1):\d+(/|\?|$)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What to send. `bypass`: through the listener without the filter."""

    method: str
    path: str
    headers: Headers
    body: bytes | None
    bypass: bool


def exchange(context: Context, request: Request) -> Answer:
    """Send `request` through Envoy.

    Raises: StackError when no stack runs or it does not answer; ConfigError for a request that cannot be sent.
    """
    import h11
    import httpx2

    found, endpoints = running_stack(context)
    expected = parse_expected(found.labels or {})
    name, path = _target(request, endpoints)
    base, filtered = endpoints.host[name], name == INGRESS.name
    url = base.url + path
    with open_client(REQUEST_TIMEOUT_S) as client:
        client.headers.clear()
        client.headers.update({"user-agent": "sandbox-curl", "accept": "*/*"})
        try:
            prepared = client.build_request(request.method, url, headers=_encode(request.headers), content=request.body)
            started = time.monotonic()
            response = client.send(prepared)
            elapsed_s = time.monotonic() - started
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, h11.LocalProtocolError, UnicodeEncodeError) as error:
            raise ConfigError(f"cannot send that request: {error}", hint="sandbox curl --help") from error
        except httpx2.HTTPError as error:
            raise StackError(f"{base.url} does not answer: {type(error).__name__}: {error}", hint="sandbox status") from error
        injected = dict(injected_headers(response, expected.injected)) if filtered else {}
        value = injected.get(expected.injected.token_header)
        token = decode_token(value, read_jwks(client, endpoints)) if value else None
        missing = None
        if filtered and value is None:
            missing = _why_no_token(client, endpoints, expected.injected, seen=expected.injected.marker_header in injected)
    return Answer(
        method=request.method,
        url=url,
        http_version=response.http_version,
        status=response.status_code,
        reason=response.reason_phrase,
        request_headers=read_headers(prepared.headers.raw),
        headers=read_headers(response.headers.raw),
        body=response.content,
        elapsed_s=elapsed_s,
        injected=_names(expected) if expected.injected.where != "request" and filtered else frozenset(),
        token=token,
        no_token_because=missing,
    )


def _encode(headers: Headers) -> list[tuple[bytes, bytes]]:
    """Values in UTF-8, as curl and httpie send what was typed."""
    return [(name.encode("ascii"), value.encode()) for name, value in headers]


def _names(expected: Expected) -> frozenset[str]:
    return frozenset({expected.injected.marker_header, expected.injected.token_header})


def _target(request: Request, endpoints: Endpoints) -> tuple[str, str]:
    """The name of the port and the path: from `/x`, `x`, `?q`, or a URL of the ingress or bypass, with `http://` or without."""
    name, typed = BYPASS.name if request.bypass else INGRESS.name, request.path
    if _AUTHORITY.match(typed):
        typed = f"http://{typed}"
    if typed.lower().startswith(("http://", "https://")):
        names = {endpoints.host[port.name].port: port.name for port in (INGRESS, BYPASS)}
        try:
            parts = urlsplit(typed)
            host, name = parts.hostname, names.get(parts.port or 0, "")
        except ValueError:
            host, name = None, ""
        if host not in ("localhost", "127.0.0.1") or not name:
            raise ConfigError(f"{typed} is not of this sandbox", hint=f"curl {typed}")
        typed = parts.path + (f"?{parts.query}" if parts.query else "")
    return name, typed if typed.startswith("/") else f"/{typed}"


def _why_no_token(client: "httpx2.Client", endpoints: Endpoints, injected: Injected, *, seen: bool) -> str:
    if not seen and injected.where == "request":
        return "the filter injects on the request: only an answer of the echo shows it (sandbox curl /)"
    status = read_status(client, endpoints)
    if status is None:
        return "the console does not answer, so nobody can say why"
    if not status.filter_version:
        return f"nobody can say why: Envoy is {status.envoy.get('state')}, and serves no filter that it tells of"
    if not seen:
        return "the filter did not see this answer: Envoy made it itself"
    outcomes = ", ".join(f"{name} {count}" for name, count in status.fetches.items() if count) or "none yet"
    return f"when this passed the filter had no token; its fetches so far: {outcomes}"
