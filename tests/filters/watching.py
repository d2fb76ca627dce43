"""Watching a console's exchanges, and asking for something to watch, byte for byte."""

import contextlib
import http.client
import json
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.observe.exchange import Exchange, parse_exchange

Headers = tuple[tuple[str, str], ...]


class Watcher:
    """Everything that a console has told since it was asked."""

    def __init__(self, port: int) -> None:
        self._news = threading.Condition()
        self._exchanges: list[Exchange] = []
        self._events: list[tuple[str, Any]] = []
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._connection.request("GET", "/api/exchanges")
        self._answer = self._connection.getresponse()
        assert self._answer.status == 200, self._answer.read()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        name = ""
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while line := self._answer.readline():
                word, _, text = line.decode().rstrip("\n").partition(": ")
                if word == "event":
                    name = text
                elif word == "data":
                    self._take(name, json.loads(text))

    def _take(self, name: str, value: Any) -> None:
        exchange = parse_exchange(value) if name == "exchange" else None
        with self._news:
            if exchange:
                self._exchanges.append(exchange)
            else:
                self._events.append((name, value))
            self._news.notify_all()

    def close(self) -> None:
        """Go away."""
        if self._connection.sock:
            self._connection.sock.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._answer.close()
        self._connection.close()

    def of(self, name: str) -> list[Any]:
        """What all events of that name said."""
        with self._news:
            return [value for event, value in self._events if event == name]

    @property
    def exchanges(self) -> list[Exchange]:
        """All so far."""
        with self._news:
            return list(self._exchanges)

    def until(self, state: Callable[[], Any], what: str, *, timeout_s: float = 20.0) -> Any:
        """Ask after every event, until the answer is true."""
        with self._news:
            assert self._news.wait_for(state, timeout_s), f"{what} did not come; last: {self._exchanges[-1:]} {self._events[-3:]}"
        return state()

    def await_attached(self) -> None:
        """Wait until the taps are attached."""
        self.until(lambda: any(value["attached"] for value in self.of("tap")[-1:]), "the taps")

    def await_exchange(self, path: str) -> Exchange:
        """Wait for the one about that path."""
        exchange: Exchange = self.until(lambda: next((one for one in self.exchanges if one.path == path), None), path)
        return exchange


@contextlib.contextmanager
def watching(port: int) -> Iterator[Watcher]:
    """A watcher at the console of that port, to whom everything from now on is shown."""
    watcher = Watcher(port)
    try:
        watcher.await_attached()
        yield watcher
    finally:
        watcher.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a client got. Names in lower case; bytes as Latin-1, which loses nothing."""

    status: int
    headers: Headers
    body: bytes


def ask(port: int, request: bytes) -> Answer:
    """Send a request that asks for the connection to be closed, and read the answer to its end."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request)
        with client.makefile("rb") as stream:
            status, headers = read_head(stream)
            sizes = [int(value) for name, value in headers if name == "content-length"]
            return Answer(status=status, headers=headers, body=stream.read(sizes[0]) if sizes else stream.read())


def read_head(stream: Any) -> tuple[int, Headers]:
    """Status and headers of the answer that comes next."""
    status = int(stream.readline().split(b" ", 2)[1])
    headers = []
    while line := stream.readline().decode("latin-1").removesuffix("\r\n"):
        name, _, value = line.partition(":")
        headers.append((name.lower(), value.strip(" ")))
    return status, tuple(headers)
