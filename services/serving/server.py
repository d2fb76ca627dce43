"""Runs an application with uvicorn on a socket that is already bound, until a signal ends the process.

uvicorn's own parts are imported by name, so that none is looked up when the first request waits.
"""

import socket
from logging import getLogger

import uvicorn
import uvicorn.lifespan.off
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl
from starlette.types import ASGIApp

GRACE_S = 0.5

_log = getLogger(__name__)


def run_app(app: ASGIApp, sock: socket.socket, *, access_log: bool, max_head_bytes: int | None = None) -> None:
    """Serve `app` on `sock`. Told to end, uvicorn gives requests `GRACE_S` and raises the signal again, of which we die.

    `max_head_bytes` is h11's own 64 KiB unless told otherwise.
    """
    # For a socket made without its protocol's number asyncio leaves TCP_NODELAY off, and then every answer on a used
    # connection waits 40 ms for the client's delayed acknowledgement. From a descriptor Python finds the number out.
    sock = socket.socket(fileno=sock.detach())
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=access_log,
        workers=1,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type] # a fraction works, and ends us within 1 s
        h11_max_incomplete_event_size=max_head_bytes,
    )
    host, port = sock.getsockname()[:2]
    _log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    _Server(config).run([sock])


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        _log.info("ended")  # here, for the signal that follows ends the process at once
