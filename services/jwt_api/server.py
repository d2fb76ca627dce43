"""Runs the JWT API with uvicorn on a socket that is already bound, until SIGTERM or SIGINT.

All that is heavy is imported here at the top, so that a process which forks servers pays for it once.
"""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from logging import getLogger
from types import FrameType

import uvicorn
import uvicorn.lifespan.off
import uvicorn.loops.asyncio
import uvicorn.protocols.http.h11_impl

from services.jwt_api.app import create_app
from services.jwt_api.keys import KeyFileError
from services.jwt_api.logs import NAME, start_logging
from services.jwt_api.settings import SettingsError, load_settings

GRACE_S = 0.5

_log = getLogger(NAME)


def serve(sock: socket.socket) -> None:
    """Serve on `sock` with settings from the environment; return when told to end. Closes `sock`.

    Raises: SystemExit 2 if the settings or the key file can't be used; the log says why.
    """
    start_logging()
    with _stopped_by_signals() as stop:
        try:
            settings = load_settings(os.environ)
            app = create_app(settings)
        except (SettingsError, KeyFileError) as error:
            _log.error("%s", error)
            sock.close()
            raise SystemExit(2) from None
        config = uvicorn.Config(
            app,
            loop="asyncio",
            http="h11",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            access_log=settings.access_log,
            workers=1,
            proxy_headers=False,
            server_header=False,
        )
        config.timeout_graceful_shutdown = GRACE_S  # type: ignore[assignment] # a fraction works, and ends us within 1 s
        server = uvicorn.Server(config)
        stop.server = server
        if stop.asked:  # in this order, so that no moment is left in which a signal is lost
            server.should_exit = True
        _log.info("listening on %s", _render_address(sock))
        server.run([sock])
        _log.info("ended")


@dataclass(slots=True)
class _Stop:
    # Plain attributes: a lock, as in an Event, could be held by the very code that the signal interrupts.
    asked: bool = False
    server: uvicorn.Server | None = None


@contextmanager
def _stopped_by_signals() -> Iterator[_Stop]:
    # uvicorn raises the signal again when it has ended; our handlers make that, and one that comes early, a quiet end.
    stop = _Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        stop.asked = True
        if stop.server is not None:
            stop.server.should_exit = True

    before = {number: signal.signal(number, on_signal) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _render_address(sock: socket.socket) -> str:
    name = sock.getsockname()
    if sock.family == socket.AF_INET:
        return f"http://{name[0]}:{name[1]}"
    if sock.family == socket.AF_INET6:
        return f"http://[{name[0]}]:{name[1]}"
    return f"unix:{name}"
