"""Runs the console with uvicorn on a socket that is already bound, until SIGTERM or SIGINT.

What a process that forks servers should pay for once is imported here at the top; the HTTP client is not.
"""

import os
import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from logging import getLogger
from types import FrameType

import uvicorn
import uvicorn.lifespan.on
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl

from sandbox.console.app import create_app
from sandbox.console.logs import NAME, start_logging
from sandbox.console.settings import load_settings
from sandbox.errors import ConfigError

GRACE_S = 0.3

_log = getLogger(NAME)


def serve(sock: socket.socket) -> None:
    """Serve on `sock` with settings from the environment; return when told to end. Closes `sock`.

    Raises: SystemExit 2 if the settings can't be used; the log says why.
    """
    start_logging()
    # For a socket made without its protocol's number asyncio leaves TCP_NODELAY off, and then every answer on a used
    # connection waits 40 ms for the client's delayed acknowledgement. From a descriptor Python finds the number out.
    sock = socket.socket(fileno=sock.detach())
    stop = threading.Event()
    with _stopped_by_signals(stop) as servers:
        try:
            app = create_app(load_settings(os.environ))
        except ConfigError as error:
            _log.error("%s", error)
            sock.close()
            raise SystemExit(2) from None
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="on",
            interface="asgi3",
            log_config=None,
            access_log=False,
            workers=1,
            proxy_headers=False,
            server_header=False,
        )
        config.timeout_graceful_shutdown = GRACE_S  # type: ignore[assignment] # a fraction works, and ends us within 1 s
        server = uvicorn.Server(config)
        servers.append(server)
        server.should_exit = stop.is_set()
        _log.info("listening on %s", _render_address(sock))
        server.run([sock])
        _log.info("ended")


@contextmanager
def _stopped_by_signals(stop: threading.Event) -> Generator[list[uvicorn.Server]]:
    # uvicorn raises the signal again when it has ended; our handlers make that, and one that comes early, a quiet end.
    servers: list[uvicorn.Server] = []
    if threading.current_thread() is not threading.main_thread():
        yield servers
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.set()
        for server in servers:
            server.should_exit = True

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield servers
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _render_address(sock: socket.socket) -> str:
    name = sock.getsockname()
    host = f"[{name[0]}]" if sock.family == socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}"
