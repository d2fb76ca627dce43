"""Who talks to the supervisor: its owner, and whoever opens its socket. No thread: the supervisor's loop says when to read."""

import contextlib
import selectors
import socket
from collections.abc import Callable
from pathlib import Path

from sandbox.engines.local.control import Channel, Message
from sandbox.workspace import RUN_CONTROL_SOCKET


class Clients:
    """Channels in `selector`, of which each message goes to `obey` and each loss to `lose`."""

    def __init__(
        self,
        selector: selectors.BaseSelector,
        obey: Callable[[Channel, Message], None],
        lose: Callable[[Channel], None],
    ) -> None:
        self._selector = selector
        self._obey = obey
        self._lose = lose
        self._channels: list[Channel] = []

    def listen(self) -> None:
        """Open the socket in the working folder, for this user only."""
        server = socket.socket(socket.AF_UNIX)
        server.bind(RUN_CONTROL_SOCKET)
        Path(RUN_CONTROL_SOCKET).chmod(0o600)
        server.listen()
        server.setblocking(False)  # noqa: FBT003 - its only form
        self._selector.register(server, selectors.EVENT_READ, lambda: self._accept(server))

    def add(self, channel: Channel) -> None:
        """Listen to a channel that is open already."""
        self._channels.append(channel)
        self._selector.register(channel.connection, selectors.EVENT_READ, lambda: self._hear(channel))

    def tell(self, message: Message) -> None:
        """Send to all."""
        for channel in self._channels:
            channel.send(message)

    def dismiss(self, message: Message) -> None:
        """Send to all and close."""
        self.tell(message)
        for channel in self._channels:
            channel.close()

    def _accept(self, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = server.accept()
            self.add(Channel(connection))

    def _hear(self, channel: Channel) -> None:
        for message in channel.read():
            self._obey(channel, message)
        if channel.closed:
            self._channels.remove(channel)
            self._selector.unregister(channel.connection)
            channel.close()
            self._lose(channel)
