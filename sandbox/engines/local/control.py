"""The supervisor's Unix socket: one JSON object a line, both ways. Whoever can open it owns the state folder."""

import contextlib
import json
import os
import select
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.workspace import RUN_CONTROL_SOCKET

Message = dict[str, Any]


class Channel:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""
        self.closed = False

    def send(self, message: Message) -> None:
        """Send, or mark the channel as closed when nobody is there."""
        try:
            self.connection.sendall(json.dumps(message).encode() + b"\n")
        except OSError:
            self.closed = True

    def read(self) -> list[Message]:
        """What has come, after the socket turned readable; sets `closed` at the end."""
        try:
            chunk = self.connection.recv(1 << 16)
        except BlockingIOError:
            return []
        except OSError:
            chunk = b""
        if not chunk:
            self.closed = True
            return []
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return [json.loads(line) for line in lines]

    def wait(self, timeout_s: float) -> list[Message]:
        """Wait for messages; empty when none came in time, or at the end."""
        readable, _, _ = select.select([self.connection], [], [], timeout_s)
        return self.read() if readable else []

    def close(self) -> None:
        """Close it."""
        self.closed = True
        self.connection.close()


def connect(folder: Path, *, timeout_s: float = 5.0) -> Channel | None:
    """Connect to the supervisor of the run folder; None when there is none."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    try:
        with working_folder(folder):
            connection.connect(RUN_CONTROL_SOCKET)
    except OSError:
        connection.close()
        return None
    return Channel(connection)


@contextlib.contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Be in `folder` for a moment: the name of a Unix socket is limited to some 100 bytes, the path to it is not."""
    before = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))  # who may be in a folder need not be able to read it
    try:
        os.chdir(folder)
        yield
    finally:
        os.fchdir(before)
        os.close(before)
