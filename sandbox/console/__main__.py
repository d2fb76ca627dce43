"""`python -m sandbox.console --host 127.0.0.1 --port 9901`: binds a socket and serves on it."""

import argparse
import signal
import socket

from sandbox.console.server import serve
from sandbox.stack import CONSOLE_PORT

__all__ = ["serve"]


def listen() -> socket.socket:
    """Return a socket that is bound to what `--host` and `--port` say. Ctrl-C ends the process without a traceback from here on.

    Raises: SystemExit 2 for flags that can't be used, 3 for an address that can't be bound.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox.console", description="Serve the console.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=CONSOLE_PORT.number, help="0 takes a free one (default: %(default)s)")
    flags = parser.parse_args()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        family = socket.getaddrinfo(flags.host, None, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((flags.host, flags.port), family=family)
    except OverflowError as error:
        parser.error(f"argument --port: {error}")
    except OSError as error:
        parser.exit(3, f"can't listen on {flags.host} port {flags.port}: {error.strerror or error}\n")


if __name__ == "__main__":
    serve(listen())
