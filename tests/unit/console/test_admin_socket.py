"""HTTP over the admin socket, before a stand-in for Envoy: whatever way an answer is cut, and whatever it is."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from socket import AF_UNIX, SHUT_RDWR, socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.envoy.admin_socket import GATHER_S, MUCH, WINDOW_S, Chunks, Pace

HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n"
END = b"0\r\n\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@given(st.lists(st.binary(min_size=1, max_size=50)), st.data())
def test_however_chunks_are_cut(contents: list[bytes], source: st.DataObject) -> None:
    data = b"".join(map(chunk, contents)) + END
    cuts = sorted(source.draw(st.lists(st.integers(0, len(data)), max_size=20)))
    chunks = Chunks()
    read = [chunks.feed(data[a:b]) for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]
    assert b"".join(read) == b"".join(contents)
    assert chunks.ended


def test_a_chunk_is_given_out_when_it_is_whole() -> None:
    chunks = Chunks()
    assert [chunks.feed(part) for part in (b"3", b"\r\nab", b"c", b"\r\n2;x=1\r\nde\r\n1\r")] == [
        b"",
        b"",
        b"",
        b"abcde"[:3] + b"de",
    ]
    assert not chunks.ended


@pytest.mark.parametrize("data", [b"x\r\n", b"-1\r\n", b"ffffffffff\r\n", b"\r\n"])
def test_what_is_no_chunk(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        Chunks().feed(data)


def test_much_at_a_time_is_gathered() -> None:
    pace = Pace(100.0)
    told = []
    for number in range(1, 9):
        pace.feed(int(MUCH * WINDOW_S), 100.0 + number * WINDOW_S * 0.75)
        told.append(pace.is_busy)
    assert told == [False] + [True] * 7, "of the first window nothing is known before its end"
    pace.feed(1, 200.0)
    assert not pace.is_busy
    assert GATHER_S < WINDOW_S


@contextmanager
def answering(*parts: bytes) -> Iterator[list[bytes]]:
    """A socket `a.sock` that answers so, and closes; what it was asked."""
    asked: list[bytes] = []
    with socket(AF_UNIX) as listener:
        listener.bind("a.sock")
        listener.listen()

        def run() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    asked.append(connection.recv(1 << 16))
                    for part in parts:
                        connection.sendall(part)

        thread = threading.Thread(target=run)
        thread.start()
        try:
            yield asked
        finally:
            listener.shutdown(SHUT_RDWR)
            thread.join()


@pytest.fixture(autouse=True)
def short_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


async def tap(client: AdminClient) -> bytes:
    async with client.tap(id_suffix="00") as pieces:
        return b"".join([piece async for piece in pieces])


async def read(client: AdminClient) -> bytes:
    return await client.read("/stats", timeout_s=5.0, query={"filter": "^a b|\\.c$", "format": "json"})


def ask(how: Callable[[AdminClient], object]) -> object:
    async def whole() -> object:
        client = AdminClient("a.sock")
        try:
            return await how(client)  # type: ignore[misc]
        finally:
            await client.close()

    return asyncio.run(whole())


@pytest.mark.parametrize("how", [tap, read])
def test_what_comes_is_read_to_its_end(how: Callable[[AdminClient], object]) -> None:
    with answering(HEAD[:20], HEAD[20:] + chunk(b"one"), chunk(b"two") + END[:2], END[2:]):
        assert ask(how) == b"onetwo"
    Path("a.sock").unlink()
    with answering(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\none", b"two"):
        assert ask(how) == b"onetwo"


def test_what_is_asked() -> None:
    with answering(HEAD + END) as asked:
        ask(read)
        ask(tap)
    assert asked[0].startswith(b"GET /stats?filter=%5Ea%20b%7C%5C.c%24&format=json HTTP/1.1\r\nhost: envoy\r\n")
    head, _, body = asked[1].partition(b"\r\n\r\n")
    assert head.startswith(b"POST /tap HTTP/1.1\r\n")
    assert f"content-length: {len(body)}".encode() in head
    [wanted] = json.loads(body)["tap_config"]["match"]["http_request_headers_match"]["headers"]
    assert wanted == {"name": "x-request-id", "string_match": {"suffix": "00"}}


@pytest.mark.parametrize("how", [tap, read])
@pytest.mark.parametrize(
    "answer",
    [b"", HEAD[:30], HEAD, HEAD + chunk(b"one"), HEAD + b"3\r\non", HEAD + b"x\r\n", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 20\r\n\r\n"],
)
def test_what_is_broken_off_or_no_answer(how: Callable[[AdminClient], object], answer: bytes) -> None:
    with answering(answer), pytest.raises(AdminError, match="broke the connection off"):
        ask(how)


@pytest.mark.parametrize("how", [tap, read])
def test_nobody_is_there(how: Callable[[AdminClient], object]) -> None:
    with pytest.raises(AdminError, match="can't be reached"):
        ask(how)
    with answering():
        pass
    with pytest.raises(AdminError, match="can't be reached"):
        ask(how)


def test_envoy_lets_one_watch_at_a_time() -> None:
    answer = HEAD.replace(b"200 OK", b"400 Bad Request") + chunk(b"An attached /tap admin stream already exists.") + END
    with answering(answer), pytest.raises(AdminError, match=r"does not let us watch: An attached /tap .* already exists"):
        ask(tap)


def test_a_silence_has_an_end() -> None:
    with socket(AF_UNIX) as listener:
        listener.bind("a.sock")
        listener.listen()
        with pytest.raises(AdminError, match=r"did not answer within 0.05 s") as error:
            ask(lambda client: client.read("/stats", timeout_s=0.05))
    assert error.value.busy
