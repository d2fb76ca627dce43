"""Who talks to the supervisor: its owner, and whoever opens its socket. No thread, and nobody is waited for."""

import contextlib
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from sandbox.engines.local.control import Channel, Message, render
from sandbox.workspace import RUN_CONTROL_SOCKET

MAX_UNSENT_BYTES = 4 << 20
"""Room for the longest message, the last lines of a service, as JSON escapes them."""


class Client(Channel):
    """The supervisor's end of a channel. `informed`: it is told what happens, not only what it asks for."""

    def __init__(self, connection: socket.socket) -> None:
        super().__init__(connection)
        connection.setblocking(False)  # noqa: FBT003 - its only form
        self.informed = True
        self.unsent = b""

    def send(self, message: Message) -> None:
        """Send what can be sent now and keep the rest; who leaves too much unread has the channel closed."""
        self.unsent += render(message)
        self.flush()
        if len(self.unsent) > MAX_UNSENT_BYTES:
            self.closed = True

    def flush(self) -> None:
        """Send of the rest what can be sent now."""
        try:
            self.unsent = self.unsent[self.connection.send(self.unsent) :]
        except BlockingIOError:
            pass
        except OSError:
            self.closed = True


class Clients:
    """All in `selector`; each message goes to `obey` and each loss to `lose`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        obey: Callable[[Client, Message], None],
        lose: Callable[[Client], None],
    ) -> None:
        self._selector = selector
        self._obey = obey
        self._lose = lose
        self._clients: list[Client] = []

    def listen(self) -> None:
        """Open the socket in the working folder, for this user only."""
        server = socket.socket(socket.AF_UNIX)
        server.bind(RUN_CONTROL_SOCKET)
        Path(RUN_CONTROL_SOCKET).chmod(0o600)
        server.listen()
        server.setblocking(False)  # noqa: FBT003 - its only form
        self._selector.register(server, selectors.EVENT_READ, lambda: self._accept(server))

    def add(self, client: Client) -> None:
        """Listen to a channel that is open already."""
        self._clients.append(client)
        self._selector.register(client.connection, selectors.EVENT_READ, lambda: self._attend(client))

    def tell(self, message: Message) -> None:
        """Send to all who are informed."""
        for client in [client for client in self._clients if client.informed]:
            client.send(message)
            self._settle(client)

    def dismiss(self, message: Message) -> None:
        """Send to all and close."""
        for client in self._clients:
            client.send(message)
            client.close()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            self.add(Client(connection))

    def _attend(self, client: Client) -> None:
        client.flush()
        for message in client.read():
            self._obey(client, message)
        self._settle(client)

    def _settle(self, client: Client) -> None:
        """Wait for room where something is unsent; take leave of who is gone."""
        if client.closed:
            self._clients.remove(client)
            self._selector.unregister(client.connection)
            client.close()
            self._lose(client)
            return
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.unsent else 0)
        if self._selector.get_key(client.connection).events != events:
            self._selector.modify(client.connection, events, self._selector.get_key(client.connection).data)
