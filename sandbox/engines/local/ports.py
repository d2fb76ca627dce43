"""Ports on the loopback interface: take one, or say who holds it."""

import errno
import socket

from sandbox.errors import PreconditionError

HOST = "127.0.0.1"


def listen(number: int) -> socket.socket | None:
    """A listening socket on the port (0: any that is free), or None when it is taken.

    Raises: PreconditionError when the system forbids the port.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((HOST, number))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            return None
        raise PreconditionError(f"port {number}: {error.strerror}", hint="take a port from 1024 on") from error
    return listener


def port_of(listener: socket.socket) -> int:
    """The number that the system gave it."""
    number: int = listener.getsockname()[1]
    return number


def holder_of(number: int) -> str:
    """Who listens on the port: `name (pid 12)`, as far as this user may know."""
    import psutil

    try:
        for connection in psutil.net_connections("tcp"):
            address = connection.laddr
            if connection.status == psutil.CONN_LISTEN and address and address.port == number and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
    except psutil.Error:
        pass
    return "another program"
