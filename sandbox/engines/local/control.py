"""The supervisor's Unix socket: one JSON object a line, both ways. Whoever can open it owns the state folder."""

import contextlib
import json
import os
import select
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sandbox.errors import PreconditionError
from sandbox.workspace import RUN_CONTROL_SOCKET

MAX_SOCKET_PATH_BYTES = 100
"""What every system takes as the name of a Unix socket."""

Message = dict[str, Any]

_CURRENT_FOLDER = threading.RLock()
"""There is one for all threads: `dev` and `watch` have several that ask."""


class Channel:
    """One end of a connection."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._rest = b""
        self.closed = False

    def send(self, message: Message) -> None:
        """Send, or mark the channel as closed when nobody is there."""
        try:
            self.connection.sendall(render(message))
        except OSError:
            self.closed = True

    def read(self) -> list[Message]:
        """What has come, after the socket turned readable; sets `closed` at the end, and after what is no message."""
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
        messages: list[Message] = []
        for line in lines:
            message = _parse(line)
            if message is None:
                self.closed = True
                break
            messages.append(message)
        return messages

    def wait(self, timeout_s: float) -> list[Message]:
        """Wait for messages; empty when none came in time, or at the end."""
        readable, _, _ = select.select([self.connection], [], [], timeout_s)
        return self.read() if readable else []

    def close(self) -> None:
        """Close it."""
        self.closed = True
        self.connection.close()


def render(message: Message) -> bytes:
    """The message as it goes over the socket."""
    return json.dumps(message).encode() + b"\n"


def _parse(line: bytes) -> Message | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def connect(folder: Path, *, timeout_s: float = 5.0) -> Channel | None:
    """Connect to the supervisor of the run folder; None when there is none.

    Raises: PreconditionError when that cannot be found out from the current folder.
    """
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(timeout_s)
    path = folder / RUN_CONTROL_SOCKET
    try:
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES:
            connection.connect(str(path))
        else:
            with working_folder(folder):
                connection.connect(RUN_CONTROL_SOCKET)
    except OSError:
        connection.close()
        return None
    except PreconditionError:
        connection.close()
        raise
    return Channel(connection)


@contextlib.contextmanager
def working_folder(folder: Path) -> Iterator[None]:
    """Be in `folder` for a moment: the name of a Unix socket is limited to some 100 bytes, the path to it is not.

    Raises: PreconditionError when there is no way back from there.
    """
    with _CURRENT_FOLDER, contextlib.ExitStack() as stack:
        try:
            before = os.open(".", getattr(os, "O_PATH", os.O_RDONLY))  # who may be in a folder need not be able to read it
            stack.callback(os.close, before)
            os.fchdir(before)
        except OSError as error:
            raise PreconditionError(f"cannot come back to the current folder: {error.strerror}", hint="cd") from error
        stack.callback(os.fchdir, before)
        os.chdir(folder)
        yield
