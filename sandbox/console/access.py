"""Who may ask: Host allow-list (against DNS rebinding), no other sites, and changes only with the project's token.

Source: RFC 9110 sections 7.2 and 15.5.20 (421), RFC 6750 (Bearer), Fetch standard (Origin), Fetch Metadata.
"""

import hmac
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

READ_METHODS = ("GET", "HEAD")

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]@/?#,]+)(?::[0-9]{0,5})?")
_ORIGIN = re.compile(rf"https?://{_AUTHORITY.pattern}")
_SECURITY_HEADERS = {
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not answered, and with which status."""

    status: int
    reason: str


def find_refusal(headers: Iterable[tuple[bytes, bytes]], allowed_hosts: Collection[str]) -> Refusal | None:
    """Return why these request headers must be refused, or None. Their names are lower-case, as ASGI gives them."""
    pairs = tuple((name, value.decode("latin-1").strip().lower()) for name, value in headers)
    hosts = [value for name, value in pairs if name == b"host"]
    host = _AUTHORITY.fullmatch(hosts[0]) if len(hosts) == 1 else None
    if host is None:
        return Refusal(status=400, reason="exactly one Host header with a host and port is needed")
    if host["host"].removesuffix(".") not in allowed_hosts:
        return Refusal(status=421, reason="this Host is not served here; CONSOLE_ALLOWED_HOSTS adds one")
    for name, value in pairs:
        origin = _ORIGIN.fullmatch(value)
        if name == b"origin" and (origin is None or origin["host"] not in allowed_hosts):
            return Refusal(status=403, reason="requests from pages of other sites are refused")
        if name == b"sec-fetch-site" and value == "cross-site":
            return Refusal(status=403, reason="requests from pages of other sites are refused")
    return None


def find_token_refusal(headers: Iterable[tuple[bytes, bytes]], token: bytes, *, purpose: str) -> Refusal | None:
    """Return why `purpose`, which begins the sentence, must be refused, or None. An empty `token` is matched by nothing."""
    shown = [value for name, value in headers if name == b"authorization"]
    scheme, _, value = shown[0].partition(b" ") if len(shown) == 1 else (b"", b"", b"")
    if not token:
        return Refusal(status=401, reason=f"{purpose} needs the project's token, and the console was given none")
    if scheme.lower() != b"bearer" or not hmac.compare_digest(value.strip(), token):
        return Refusal(status=401, reason=f"{purpose} needs the project's token: Authorization: Bearer <token>")
    return None


def load_token(path: Path | None) -> bytes:
    """Read the project's token; empty when there is none. Read anew each time, so that a new one counts at once."""
    try:
        return path.read_bytes().strip() if path else b""
    except OSError:
        return b""


class Gate:
    """ASGI middleware: answers what must be refused before a route is looked up, and sets headers of every answer."""

    def __init__(self, app: ASGIApp, allowed_hosts: Collection[str], token_file: Path | None) -> None:
        self._app = app
        self._allowed_hosts = frozenset(allowed_hosts)
        self._token_file = token_file

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(_SECURITY_HEADERS)
            await send(message)

        refusal = find_refusal(scope["headers"], self._allowed_hosts)
        if refusal is None and scope["method"] not in READ_METHODS:
            refusal = find_token_refusal(scope["headers"], load_token(self._token_file), purpose="a change")
        if refusal is None:
            await self._app(scope, receive, send_with_headers)
            return
        headers = {"www-authenticate": "Bearer"} if refusal.status == 401 else None
        response = JSONResponse({"error": refusal.reason}, status_code=refusal.status, headers=headers)
        await response(scope, receive, send_with_headers)
