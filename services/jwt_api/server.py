"""Serves the JWT API on a socket that is already bound, until SIGTERM or SIGINT ends the process."""

import os
import socket
from logging import getLogger

from services.jwt_api.app import create_app
from services.jwt_api.keys import KeyFileError
from services.jwt_api.settings import SettingsError, load_settings
from services.serving.logs import start_logging
from services.serving.server import run_app

_log = getLogger(__name__)


def serve(sock: socket.socket) -> None:
    """Serve on `sock` with settings from the environment.

    Raises: SystemExit 2 if the settings or the key file can't be used; the log says why.
    """
    start_logging("jwt-api")
    try:
        settings = load_settings(os.environ)
        app = create_app(settings)
    except (SettingsError, KeyFileError) as error:
        _log.error("%s", error)
        raise SystemExit(2) from None
    run_app(app, sock, access_log=settings.access_log)
