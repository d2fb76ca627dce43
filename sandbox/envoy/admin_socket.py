"""HTTP/1.1 over Envoy's admin socket, as far as it is spoken there: for what is asked often, and for what has no end.

A client that can do all of HTTP takes ten times as long to ask, and the taps write some thousand chunks a second.
"""

import asyncio
import json
import re
import socket
import time
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

READ_BYTES = 1 << 17
GATHER_S = 0.01
"""What comes in that time is read at once, while much comes."""
MUCH = 1 << 20
"""Bytes a second: some 300 requests."""
WINDOW_S = 0.05
MAX_CHUNK_BYTES = 8 << 20
MAX_HEAD_BYTES = 1 << 16
_LINE_END, _HEAD_END = b"\r\n", b"\r\n\r\n"
_STATUS_LINE = re.compile(rb"http/1\.1 [0-9]{3}(?: |$)")


class Chunks:
    """Takes the framing of a chunked body off, wherever the bytes are cut.

    Source: RFC 9112, 7.1.
    """

    def __init__(self) -> None:
        self._rest = b""
        self.ended = False

    def feed(self, data: bytes) -> bytes:
        """Return the contents of the chunks that `data` completes.

        Raises: ValueError for what is no chunk.
        """
        data = self._rest + data
        place, whole = 0, []
        while not self.ended:
            begin = data.find(_LINE_END, place) + len(_LINE_END)
            if begin < len(_LINE_END):
                break
            size = int(data[place : begin - len(_LINE_END)].partition(b";")[0], 16)
            if not 0 <= size <= MAX_CHUNK_BYTES:
                raise ValueError(f"a chunk of {size} bytes")
            end = begin + size
            if len(data) < end + len(_LINE_END):
                break
            whole.append(data[begin:end])
            place, self.ended = end + len(_LINE_END), size == 0
        self._rest = data[place:]
        return b"".join(whole)


class Pace:
    """Whether much comes, by what came in the last twentieth of a second. `now_s` is on the monotonic clock."""

    def __init__(self, now_s: float) -> None:
        self._begun_s = now_s
        self._bytes = 0
        self.is_busy = False

    def feed(self, size_bytes: int, now_s: float) -> None:
        """So much has come."""
        self._bytes += size_bytes
        passed_s = now_s - self._begun_s
        if passed_s >= WINDOW_S:
            self.is_busy = self._bytes > MUCH * passed_s
            self._begun_s, self._bytes = now_s, 0


@asynccontextmanager
async def open_answer(
    path: str, method: str, target: str, body: Mapping[str, Any] | None = None
) -> AsyncGenerator[tuple[int, AsyncIterator[bytes]]]:
    """Ask at the Unix socket `path`, with `body` as JSON: the status, and the answer's body as it comes.

    Raises: OSError when there is nobody; ConnectionError, also from reading, when Envoy breaks off, or its answer is none.
    """
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(0)
        await loop.sock_connect(connection, path)
        content = b"" if body is None else json.dumps(body).encode()
        head = (f"{method} {target} HTTP/1.1", "host: envoy", "content-type: application/json", f"content-length: {len(content)}")
        await loop.sock_sendall(connection, "\r\n".join(head).encode() + _HEAD_END + content)
        answer = b""
        while _HEAD_END not in answer and len(answer) < MAX_HEAD_BYTES:
            answer += await _receive(connection)
        answer, _, rest = answer.partition(_HEAD_END)
        line, *fields = answer.lower().split(_LINE_END)
        if not _STATUS_LINE.match(line):
            raise ConnectionError(f"not an answer of Envoy's admin interface: {line[:200]!r}")
        is_chunked = b"transfer-encoding: chunked" in fields
        yield int(line.split()[1]), _read_chunks(connection, rest) if is_chunked else _read_all(connection, rest)


async def _read_chunks(connection: socket.socket, data: bytes) -> AsyncIterator[bytes]:
    chunks, pace = Chunks(), Pace(time.monotonic())
    while True:
        try:
            content = chunks.feed(data)
        except ValueError as error:
            raise ConnectionError(f"not an answer of Envoy's admin interface: {error}") from None
        if content:
            yield content
        if chunks.ended:
            return
        if pace.is_busy:
            await asyncio.sleep(GATHER_S)
        data = await _receive(connection)
        pace.feed(len(data), time.monotonic())


async def _read_all(connection: socket.socket, data: bytes) -> AsyncIterator[bytes]:
    """Up to the connection's end, which is that of a body without chunks."""
    yield data
    while data := await asyncio.get_running_loop().sock_recv(connection, READ_BYTES):
        yield data


async def _receive(connection: socket.socket) -> bytes:
    data = await asyncio.get_running_loop().sock_recv(connection, READ_BYTES)
    if not data:
        raise ConnectionResetError("the answer ended before its end")
    return data
