"""Envoy's admin pages under their usual paths: those that change nothing, by name, and nothing else.

Source: `GET /help` of Envoy 1.40.
"""

from types import MappingProxyType

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from sandbox.envoy.admin import AdminClient, AdminError

SILENCE_S = 10.0
"""Envoy's admin interface pauses for up to 4 s while it compiles a module."""

OFFERED = MappingProxyType(
    {
        "/certs": "Certificates on this machine that Envoy uses",
        "/clusters": "Upstream clusters and their hosts",
        "/config_dump": "The configuration that Envoy runs; the filter's own is shown as it was written",
        "/contention": "Contention of mutexes, if traced",
        "/help": "What Envoy's admin interface knows; here only what this list names",
        "/hot_restart_version": "Compatibility version of hot restarts",
        "/init_dump": "What initialisation still waits for",
        "/listeners": "Listeners and their addresses",
        "/memory": "Memory in use",
        "/memory/tcmalloc": "The allocator's own statistics",
        "/ready": "LIVE, or 503 and the state",
        "/runtime": "Runtime values",
        "/server_info": "Version, state, uptime and command line",
        "/stats": "Statistics",
        "/stats/prometheus": "Statistics for Prometheus",
        "/stats/recentlookups": "Names of statistics that were looked up",
    }
)
"""Path to what is found there. A request goes out with the path written here, never with one that came in.

Envoy blanks what its own configuration calls a secret. It can't know what a filter's configuration or environment means:
a secret written there can be read at `/config_dump`, here as at every Envoy.
"""

_CHANGES = "changes Envoy; not offered here"
_PROFILES = "profiles Envoy, which costs it time and memory; not offered here"

WITHHELD = MappingProxyType(
    {
        "/allocprofiler": _PROFILES,
        "/cpuprofiler": _PROFILES,
        "/heapprofiler": _PROFILES,
        "/heap_dump": "is a copy of what is in Envoy's memory; not offered here",
        "/peak_heap_dump": "is a copy of what is in Envoy's memory; not offered here",
        "/drain_listeners": _CHANGES,
        "/healthcheck/fail": _CHANGES,
        "/healthcheck/ok": _CHANGES,
        "/logging": _CHANGES,
        "/quitquitquit": _CHANGES,
        "/reopen_logs": _CHANGES,
        "/reset_counters": _CHANGES,
        "/runtime_modify": _CHANGES,
        "/stats/recentlookups/clear": _CHANGES,
        "/stats/recentlookups/disable": _CHANGES,
        "/stats/recentlookups/enable": _CHANGES,
        "/tap": "shows traffic with its tokens, and can abort Envoy; not offered here",
    }
)
"""The other paths that Envoy knows, and why they are not here."""


class AdminPage(Response):
    """An answer of Envoy's, passed on piece by piece with its status and content type."""

    def __init__(self, client: AdminClient, path: str, request: Request) -> None:
        super().__init__()
        self._client = client
        self._path = path
        # A fragment is no part of a request, yet some clients send the sign as it is.
        self._query: bytes = request.scope["query_string"].replace(b"#", b"%23")
        self._head = request.method == "HEAD"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ask and pass on. When Envoy breaks off in mid-body the connection ends without the body's end."""
        began = False
        try:
            async with self._client.stream(self._path, query=self._query, timeout_s=SILENCE_S) as answer:
                kind = answer.headers.get("content-type", "text/plain")
                status, headers = answer.status_code, {"content-type": kind}
                response: Response
                if self._head:
                    response = Response(status_code=status, headers=headers)
                    del response.headers["content-length"]  # it would say 0, which is not the page's
                else:
                    response = StreamingResponse(answer.aiter_raw(), status_code=status, headers=headers)
                began = True
                await response(scope, receive, send)
        except AdminError as error:
            if not began:
                failure = JSONResponse({"error": error.message}, status_code=504 if error.busy else 502)
                await failure(scope, receive, send)
