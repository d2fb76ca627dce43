"""`curl`: one request through Envoy, and what came back."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from sandbox.errors import ConfigError, StackError
from sandbox.events import Answer, Headers
from sandbox.observe.token import decode_token
from sandbox.session.context import Context, open_client, running_stack
from sandbox.session.probe import Expected, injected_headers, parse_expected
from sandbox.stack import BYPASS, CONSOLE_PORT, INGRESS, Endpoints

REQUEST_TIMEOUT_S = 30.0


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
            prepared = client.build_request(request.method, url, headers=list(request.headers), content=request.body)
            started = time.monotonic()
            response = client.send(prepared)
            elapsed_s = time.monotonic() - started
        except (httpx2.InvalidURL, httpx2.LocalProtocolError, UnicodeEncodeError) as error:
            raise ConfigError(f"cannot send that request: {error}", hint="sandbox curl --help") from error
        except httpx2.HTTPError as error:
            raise StackError(f"{base.url} does not answer: {type(error).__name__}: {error}", hint="sandbox status") from error
        injected = dict(injected_headers(response, expected.injected)) if filtered else {}
        value = injected.get(expected.injected.token_header)
        token = decode_token(value, _jwks(client, endpoints)) if value else None
        missing = None if value or not filtered else _why_no_token(client, endpoints)
    return Answer(
        method=request.method,
        url=url,
        http_version=response.http_version,
        status=response.status_code,
        reason=response.reason_phrase,
        request_headers=_pairs(prepared.headers.raw),
        headers=_pairs(response.headers.raw),
        body=response.content,
        elapsed_s=elapsed_s,
        injected=_names(expected) if expected.injected.where != "request" and filtered else frozenset(),
        token=token,
        no_token_because=missing,
    )


def _names(expected: Expected) -> frozenset[str]:
    return frozenset({expected.injected.marker_header, expected.injected.token_header})


def _target(request: Request, endpoints: Endpoints) -> tuple[str, str]:
    """The name of the port and the path: from `/x`, `x`, `?q`, or a whole URL of the ingress or bypass."""
    name, typed = BYPASS.name if request.bypass else INGRESS.name, request.path
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


def _pairs(raw: list[tuple[bytes, bytes]]) -> Headers:
    return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)


def _jwks(client: Any, endpoints: Endpoints) -> Mapping[str, Any] | None:
    answer = _ask(client, endpoints, "/api/jwks")
    return answer if answer and "keys" in answer else None


def _why_no_token(client: Any, endpoints: Endpoints) -> str:
    status = _ask(client, endpoints, "/api/status")
    if status is None:
        return "the console does not answer, so nobody can say why"
    if not status["filter"]["version"]:
        return "Envoy serves no filter"
    fetches = {name: count for name, count in status["token"]["fetches"].items() if count}
    outcomes = ", ".join(f"{name} {count}" for name, count in fetches.items()) or "none yet"
    return f"no token to inject; the filter's fetches so far: {outcomes}"


def _ask(client: Any, endpoints: Endpoints, path: str) -> dict[str, Any] | None:
    import httpx2

    try:
        answer = client.get(endpoints.host[CONSOLE_PORT.name].url + path).raise_for_status().json()
    except (httpx2.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
