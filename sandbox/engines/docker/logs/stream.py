"""A streaming answer of the engine's API, read as it comes: by whoever waits for several of them, without a thread for each.

The SDK's own streams wait in `read` until something comes, and only another thread can end that.
"""

import contextlib
import socket
import ssl
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlencode, urlsplit

import h11

from sandbox.errors import StackError

if TYPE_CHECKING:
    from docker import APIClient

READ_BYTES = 1 << 16
MAX_DENIAL_BYTES = 1 << 12


class DeniedError(StackError):
    """The engine will not answer, now or later."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"Docker answers with HTTP {status}", details=text, hint="docker info")
        self.status = status


class Stream:
    """One GET. `ended` once the engine has said that the answer is whole."""

    def __init__(self, client: "APIClient", path: str, query: Mapping[str, str], *, timeout_s: float | None) -> None:
        """Ask. `timeout_s` is for each read; None: `read` never waits, whoever reads does, by `fileno`.

        Raises: OSError when the engine cannot be reached.
        """
        self.ended = False
        self._http = h11.Connection(h11.CLIENT)
        self._status = 200
        self._text = b""
        target = f"/v{client.api_version}{path}?{urlencode(query)}"
        headers = [("Host", "docker"), ("User-Agent", "sandbox"), ("Connection", "close")]
        request = self._http.send(h11.Request(method="GET", target=target, headers=headers))
        self._socket = connect(client)
        try:
            self._socket.sendall((request or b"") + (self._http.send(h11.EndOfMessage()) or b""))
            self._socket.settimeout(timeout_s or 0.0)
        except BaseException:
            self.close()
            raise

    def fileno(self) -> int:
        """What to wait for."""
        return self._socket.fileno()

    def read(self) -> bytes:
        """What has come of the body; empty when that is nothing.

        Raises: OSError when the engine hung up in the middle, was silent for too long, or cannot answer now; DeniedError.
        """
        try:
            self._http.receive_data(self._receive())
        except (BlockingIOError, ssl.SSLWantReadError):
            return b""
        body = []
        try:
            while not self.ended:
                event = self._http.next_event()
                match event:
                    case h11.Response(status_code=status) if status != 200:
                        self._status = status
                    case h11.Data(data=data):
                        body.append(bytes(data))
                    case h11.EndOfMessage():
                        self.ended = True
                    case h11.NEED_DATA | h11.PAUSED:
                        break
        except h11.RemoteProtocolError as error:
            raise ConnectionError(str(error)) from error
        piece = b"".join(body)
        return piece if self._status == 200 else self._deny(piece)

    def _receive(self) -> bytes:
        piece = self._socket.recv(READ_BYTES)
        if isinstance(self._socket, ssl.SSLSocket):
            while pending := self._socket.pending():  # it is here already, and nobody would be woken for it
                piece += self._socket.recv(pending)
        return piece

    def _deny(self, piece: bytes) -> bytes:
        self._text = (self._text + piece)[:MAX_DENIAL_BYTES]
        if self.ended:
            status, text = self._status, self._text.decode(errors="replace").strip()
            raise ConnectionError(f"HTTP {status}: {text}") if status >= 500 else DeniedError(status, text)
        return b""

    def close(self) -> None:
        """Hang up."""
        self._socket.close()


def connect(client: "APIClient") -> socket.socket:
    """A connection of its own to the client's engine.

    Raises: OSError when nobody accepts it.
    """
    path = getattr(client.get_adapter(client.base_url), "socket_path", None)
    with contextlib.ExitStack() as undo:
        if path:
            connection = undo.enter_context(socket.socket(socket.AF_UNIX))
            connection.settimeout(client.timeout)
            connection.connect(path)
        else:
            place = urlsplit(client.base_url)
            host = place.hostname or "127.0.0.1"
            connection = undo.enter_context(socket.create_connection((host, place.port or 0), timeout=client.timeout))
            if place.scheme == "https":
                connection = undo.enter_context(_encrypt(client, connection, host))
        undo.pop_all()
        return connection


def _encrypt(client: "APIClient", connection: socket.socket, host: str) -> ssl.SSLSocket:
    """With the certificates that the client was given."""
    context = ssl.create_default_context(cafile=client.verify if isinstance(client.verify, str) else None)
    if not client.verify:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client.cert:
        context.load_cert_chain(*((client.cert,) if isinstance(client.cert, str) else client.cert))
    return context.wrap_socket(connection, server_hostname=host)
