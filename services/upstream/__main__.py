"""`python -m services.upstream --host 127.0.0.1 --port 8082`: binds a socket and serves on it."""

from __future__ import annotations

import argparse
import os
import socket
import sys
from collections.abc import Sequence

from services.upstream.server import serve

__all__ = ["main", "serve"]

MAX_PORT = 65_535


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the flags, bind and serve until SIGTERM or SIGINT.

    Raises: SystemExit 2 for flags or settings that can't be used, 3 for an address that can't be bound.
    """
    parser = argparse.ArgumentParser(prog="python -m services.upstream", description="Serve the upstream.")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=8082, help="0 takes a free one (default: %(default)s)")
    flags = parser.parse_args(argv)
    try:
        family = socket.getaddrinfo(flags.host, flags.port, type=socket.SOCK_STREAM)[0][0]
        sock = socket.create_server((flags.host, flags.port), family=family, backlog=128)
    except OSError as error:
        sys.stderr.write(f"can't listen on {flags.host} port {flags.port}: {error.strerror or error}\n")
        raise SystemExit(3) from None
    serve(sock)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= MAX_PORT:
        raise ValueError(text)
    return port


if __name__ == "__main__":
    main()
    # Nothing is left to do, and taking FastAPI and pydantic apart object by object can cost seconds on a busy machine.
    os._exit(0)
