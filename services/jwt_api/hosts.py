"""Who may ask: the Host allow-list (against DNS rebinding) and the refusal of other origins (against web pages).

Source: RFC 9110 sections 7.2 and 15.5.20 (421), Fetch standard for Origin.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

_AUTHORITY = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[^\s:\[\]@/?#,]+)(?::[0-9]{0,5})?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is not answered, and with which status."""

    status: int
    reason: str


def find_refusal(headers: Iterable[tuple[bytes, bytes]], allowed_hosts: Iterable[str]) -> Refusal | None:
    """Return why these request headers must be refused, or None. Names in `headers` are lower-case, as ASGI gives them.

    An Origin is accepted only if it is this very service as the client addresses it: nothing here is for other pages.
    """
    pairs = tuple(headers)
    hosts = [value.decode("latin-1") for name, value in pairs if name == b"host"]
    if len(hosts) != 1:
        return Refusal(status=400, reason="exactly one Host header is needed")
    authority = hosts[0].strip().lower()
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        return Refusal(status=400, reason="the Host header is not a host and port")
    if match["host"].removesuffix(".") not in allowed_hosts:
        return Refusal(status=421, reason="this Host is not served here; JWT_API_ALLOWED_HOSTS adds one")
    for name, value in pairs:
        if name == b"origin" and value.decode("latin-1").strip().lower() != f"http://{authority}":
            return Refusal(status=403, reason="requests from other origins are refused")
    return None


class HostGate:
    """ASGI middleware that answers what `find_refusal` refuses, before any route is looked up."""

    def __init__(self, app: ASGIApp, allowed_hosts: Iterable[str]) -> None:
        self._app = app
        self._allowed_hosts = frozenset(allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse or pass on one request."""
        refusal = find_refusal(scope["headers"], self._allowed_hosts) if scope["type"] == "http" else None
        if refusal is None:
            await self._app(scope, receive, send)
        else:
            await JSONResponse({"error": refusal.reason}, status_code=refusal.status)(scope, receive, send)
