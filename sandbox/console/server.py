"""Runs the console with uvicorn on a socket that is already bound, until SIGTERM or SIGINT ends the process.

The HTTP client is slow to import, and is imported when the application starts.
"""

import os
import socket
from logging import getLogger
from pathlib import Path

import uvicorn
import uvicorn.lifespan.on
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl

from sandbox.console.app import create_app
from sandbox.console.logs import start_logging
from sandbox.console.seed import seed
from sandbox.console.settings import load_settings
from sandbox.envoy.stage import Stage
from sandbox.errors import ConfigError, PreconditionError

GRACE_S = 0.3

_log = getLogger(__name__)


def serve(sock: socket.socket) -> None:
    """Serve on `sock` with settings from the environment. Told to end, uvicorn raises the signal again, of which we die.

    Raises: SystemExit 2 if the settings, or the filter that they name, can't be used; the log says why.
    """
    start_logging()
    # For a socket made without its protocol's number asyncio leaves TCP_NODELAY off, and then every answer on a used
    # connection waits 40 ms for the client's delayed acknowledgement. From a descriptor Python finds the number out.
    sock = socket.socket(fileno=sock.detach())
    try:
        settings = load_settings(os.environ)
        version = seed(settings)
        Stage(Path()).mend()
        app = create_app(settings)
    except (ConfigError, PreconditionError) as error:
        _log.error("%s", error)
        raise SystemExit(2) from None
    if version:
        _log.info("laid out filter %s", version)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # what a request asks for can be a secret
        workers=1,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type] # a fraction works, and ends us within 1 s
    )
    host, port = sock.getsockname()[:2]
    _log.info("listening on http://%s:%d", f"[{host}]" if ":" in host else host, port)
    _Server(config).run([sock])


class _Server(uvicorn.Server):
    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        _log.info("ended")  # here, for the signal that follows ends the process at once
