"""`python -m sandbox.console --host 127.0.0.1 --port 9901`: binds a socket and serves on it."""

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from sandbox.console.server import serve
from sandbox.stack import CONSOLE_PORT

__all__ = ["main", "serve"]

MAX_PORT = 65_535


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, bind and serve until SIGTERM or SIGINT.

    Raises: SystemExit 2 for flags or settings that can't be used, 3 for an address that can't be bound.
    """
    parser = argparse.ArgumentParser(prog="python -m sandbox.console", description="Serve the console.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=CONSOLE_PORT.number, help="0 takes a free one (default: %(default)s)")
    flags = parser.parse_args(argv)
    try:
        family = socket.getaddrinfo(flags.host, flags.port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server((flags.host, flags.port), family=family, backlog=128)
    except OSError as error:
        sys.stderr.write(f"can't listen on {flags.host} port {flags.port}: {error.strerror or error}\n")
        raise SystemExit(3) from None
    serve(sock)
    sys.stdout.flush()
    os._exit(0)  # else Python would wait for name look-ups that hang


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise ValueError(text)
    return port


if __name__ == "__main__":
    main()
