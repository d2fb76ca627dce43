"""Serves the upstream on a socket that is already bound, until SIGTERM or SIGINT ends the process."""

import os
import socket
from logging import getLogger

from services.serving.logs import start_logging
from services.serving.server import run_app
from services.upstream.app import create_app
from services.upstream.settings import SettingsError, load_settings

MAX_HEAD_BYTES = 262_144  # above Envoy's 60 KiB for request headers, so that Envoy's limit is the one that is met

_log = getLogger(__name__)


def serve(sock: socket.socket) -> None:
    """Serve on `sock` with settings from the environment.

    Raises: SystemExit 2 if the settings can't be used; the log says why.
    """
    start_logging("upstream")
    try:
        settings = load_settings(os.environ)
    except SettingsError as error:
        _log.error("%s", error)
        raise SystemExit(2) from None
    run_app(create_app(settings), sock, access_log=settings.access_log, max_head_bytes=MAX_HEAD_BYTES)
