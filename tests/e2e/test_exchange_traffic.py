"""However requests come through Envoy: each is told once, and its request and response belong together."""

import contextlib
import itertools
import resource
import selectors
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from filters import http2
from filters.watching import Watcher, ask, read_head, watching
from stacks import Sandbox

from sandbox.observe.exchange import Exchange, value_of
from sandbox.observe.headers import Headers

INJECTED = [("added", "x-wasm-filter"), ("added", "x-auth")]
AT_ONCE = 1000
FILES = 4 * AT_ONCE
STREAMS = 50
"""Requests at a time on one connection of HTTP/2."""

PRELOADED = "from sandbox.console import attachment\nattachment.CHOKED_S = 600.0\n"
"""All is looked at, however slow Envoy is to answer: what is dropped then is another question."""

_numbers = itertools.count()


def marks(count: int) -> list[str]:
    """Marks that no other request has."""
    return [f"m{next(_numbers)}" for _ in range(count)]


def path_of(mark: str) -> str:
    """What the upstream answers with the mark among its headers."""
    return f"/response-headers?x-mark={mark}"


def http1(mark: str, *headers: str, method: str = "GET", body: bytes = b"") -> bytes:
    """A request that has the mark in its path and in a header."""
    lines = (f"{method} {path_of(mark)} HTTP/1.1", "host: example.test", f"x-mark: {mark}", *headers)
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def assert_told(watcher: Watcher, port: int, sent: list[str]) -> list[Exchange]:
    """All that was sent since this watcher came, and nothing else, was told, once each."""
    watcher.until(lambda: len(watcher.exchanges) >= len(sent) or watcher.of("dropped"), f"{len(sent)} exchanges")
    # What comes twice may come late: but not later than what was sent afterwards.
    for last in marks(3):
        ask(port, http1(last, "connection: close"))
        watcher.await_exchange(path_of(last))
        sent = [*sent, last]
    told = watcher.exchanges
    assert not watcher.of("dropped")
    assert Counter(exchange.path for exchange in told) == Counter(map(path_of, sent))
    assert len({exchange.id for exchange in told}) == len(told)
    for exchange in told:
        assert_whole(exchange)
    return told


def assert_whole(exchange: Exchange) -> None:
    """Its four lists of headers are those of one request."""
    mark = exchange.path.rpartition("=")[2]
    assert exchange.response
    assert (exchange.status, exchange.answered_by, exchange.trapped) == (200, "upstream", False)
    for headers in (exchange.request.before, exchange.request.after, exchange.response.before, exchange.response.after):
        assert headers
        assert mark_of(headers) == mark
    assert exchange.request.changes == ()
    assert [(change.kind, change.name) for change in exchange.response.changes] == INJECTED


def mark_of(headers: Headers) -> str | None:
    return value_of(headers, "x-mark")


@pytest.fixture(scope="module", autouse=True)
def files_enough() -> Iterator[None]:
    """Let this process, and Envoy after it, have a socket for each request on both of its sides."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.fixture
def port(shared: Sandbox) -> int:
    return shared.ports["ingress"]


@pytest.fixture
def watcher(shared: Sandbox) -> Iterator[Watcher]:
    with watching(shared.ports["console"]) as watcher:
        yield watcher


def converse(port: int, requests: list[bytes], *, at_once: bool) -> None:
    """Send all on one connection, each after the answer to the one before, or all before the first answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client, client.makefile("rb") as answers:
        for request in [b"".join(requests)] if at_once else requests:
            client.sendall(request)
            for _ in requests if at_once else [request]:
                status, headers = read_head(answers)
                assert status == 200
                answers.read(int(dict(headers)["content-length"]))


def test_one_after_the_other_on_one_connection(shared: Sandbox, watcher: Watcher, port: int) -> None:
    with watching(shared.ports["console"]) as other:
        sent = marks(100)
        converse(port, [http1(mark) for mark in sent], at_once=False)
        told = assert_told(watcher, port, sent)
        other.until(lambda: len(other.exchanges) >= len(told), "as many")
        assert other.exchanges == told
    # On one connection they are told in their order.
    assert [exchange.path for exchange in told][: len(sent)] == [path_of(mark) for mark in sent]


def test_pipelined(watcher: Watcher, port: int) -> None:
    sent = marks(50)
    converse(port, [http1(mark) for mark in sent], at_once=True)
    assert_told(watcher, port, sent)


def test_bodies_in_chunks_and_in_parts(watcher: Watcher, port: int) -> None:
    sent = marks(20)
    chunked, whole = sent[:10], sent[10:]
    body = b"".join(b"%x\r\n%b\r\n" % (size, b"a" * size) for size in (1, 70_000, 3)) + b"0\r\n\r\n"
    requests = [http1(mark, "transfer-encoding: chunked", method="POST", body=body) for mark in chunked]
    requests += [http1(mark, "content-length: 100000", method="PUT", body=b"b" * 100_000) for mark in whole]
    converse(port, requests, at_once=False)
    assert_told(watcher, port, sent)


class Multiplexed:
    """A connection of HTTP/2 with prior knowledge, and what is still to come on it."""

    def __init__(self, port: int, sent: list[str]) -> None:
        self.left = {2 * number + 1 for number in range(len(sent))}
        self._rest = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        frames = (http2.request(stream, self._headers(mark)) for stream, mark in zip(sorted(self.left), sent, strict=True))
        self.socket.sendall(http2.PREFACE + http2.frame(http2.SETTINGS, 0, 0) + b"".join(frames))

    @staticmethod
    def _headers(mark: str) -> http2.Headers:
        pseudo = ((":method", "GET"), (":scheme", "http"), (":authority", "example.test"), (":path", path_of(mark)))
        return (*pseudo, ("x-mark", mark))

    def read(self) -> bool:
        """Take what has come; whether that was the last."""
        data = self.socket.recv(65536)
        assert data
        frames, self._rest = http2.split(self._rest + data)
        for kind, flags, stream, payload in frames:
            assert kind not in {http2.RST_STREAM, http2.GOAWAY}, payload
            if kind == http2.SETTINGS and not flags & http2.ACK:
                self.socket.sendall(http2.frame(http2.SETTINGS, http2.ACK, 0))
            if kind in {http2.DATA, http2.HEADERS} and flags & http2.END_STREAM:
                self.left.remove(stream)
        return not self.left


class Single:
    """A connection with one request over HTTP/1.1."""

    def __init__(self, port: int, mark: str) -> None:
        self._data = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.sendall(http1(mark, "connection: close"))

    def read(self) -> bool:
        """Take what has come; whether that was the end."""
        data = self.socket.recv(65536)
        self._data += data
        assert data or self._data.startswith(b"HTTP/1.1 200 ")
        return not data


def read_all(connections: list[Multiplexed | Single]) -> None:
    """Read all of them at once, to their end."""
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as stack:
        for connection in connections:
            stack.enter_context(connection.socket)
            selector.register(connection.socket, selectors.EVENT_READ, connection)
        while selector.get_map():
            ready = selector.select(20)
            assert ready, f"{len(selector.get_map())} connections are without an answer"
            for key, _ in ready:
                if key.data.read():
                    selector.unregister(key.fileobj)


def test_http2(watcher: Watcher, port: int) -> None:
    sent = marks(100)
    read_all([Multiplexed(port, sent)])
    assert_told(watcher, port, sent)


def test_a_thousand_at_once(watcher: Watcher, port: int) -> None:
    sent = marks(AT_ONCE)
    singles, others = sent[: AT_ONCE // 2], sent[AT_ONCE // 2 :]
    connections: list[Multiplexed | Single] = [
        Multiplexed(port, others[start : start + STREAMS]) for start in range(0, len(others), STREAMS)
    ]
    connections += [Single(port, mark) for mark in singles]
    read_all(connections)
    assert most_at_once(assert_told(watcher, port, sent)) > AT_ONCE / 10


def most_at_once(told: list[Exchange]) -> int:
    """How many had begun and were not answered."""
    begun = [(exchange.time_s, 1) for exchange in told]
    ended = [(exchange.time_s + (exchange.duration_ms or 0.0) / 1000, -1) for exchange in told]
    return max(itertools.accumulate(step for _, step in sorted(begun + ended)))


def test_requests_of_one_name_are_told_apart(watcher: Watcher, port: int) -> None:
    sent = marks(20)
    same = "x-request-id: 11111111-2222-4333-8444-555555555555"
    read_all([Named(port, mark, same) for mark in sent])
    watcher.until(lambda: len(watcher.exchanges) >= len(sent), "all")
    assert Counter(exchange.path for exchange in watcher.exchanges) == Counter(map(path_of, sent))
    for exchange in watcher.exchanges:
        assert_whole(exchange)


class Named(Single):
    """A request that brings its own x-request-id."""

    def __init__(self, port: int, mark: str, name: str) -> None:
        self._data = b""
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket.sendall(http1(mark, name, "connection: close"))


def test_who_comes_in_the_midst_sees_whole_exchanges(shared: Sandbox, port: int) -> None:
    with busy(port) as is_alive:
        for _ in range(10):
            with watching(shared.ports["console"]) as watcher:
                watcher.until(lambda watcher=watcher: len(watcher.exchanges) >= 5, "some exchanges")
                told = watcher.exchanges
            assert max(Counter(exchange.path for exchange in told).values()) == 1
            for exchange in told:
                assert_whole(exchange)
        assert is_alive()


@contextlib.contextmanager
def busy(port: int) -> Iterator[Callable[[], bool]]:
    """Requests without an end, from two clients; they are alive as long as each was answered."""
    over = threading.Event()

    def send() -> None:
        while not over.is_set():
            converse(port, [http1(mark) for mark in marks(10)], at_once=False)

    threads = [threading.Thread(target=send) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield lambda: all(thread.is_alive() for thread in threads)
    finally:
        over.set()
        for thread in threads:
            thread.join()
