"""An upstream of a test's own: what it answers is written down byte for byte, also what no good server would send."""

import contextlib
import socket
import socketserver
import struct
import threading
from collections.abc import Iterator
from typing import BinaryIO

ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nx-given: Given\r\nx-two: one\r\nx-two: two\r\nx-last: last\r\n"
"""The head of an answer, without its length."""

ANSWERS = {
    b"/chunked": ANSWER + b"transfer-encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
    b"/trailers": ANSWER + b"transfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n3\r\nabc\r\n0\r\nx-sum: 3\r\n\r\n",
    b"/bytes": ANSWER + b"x-bytes: caf\xe9 \xff\r\nx-utf8: caf\xc3\xa9\r\ncontent-length: 0\r\n\r\n",
    b"/empty": b"HTTP/1.1 204 No Content\r\nx-given: Given\r\n\r\n",
    b"/bare503": b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    b"/500": b"HTTP/1.1 500 Internal Server Error\r\nx-given: Given\r\ncontent-length: 4\r\n\r\nbad\n",
    b"/hints": b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" + ANSWER + b"content-length: 0\r\n\r\n",
    b"/ws": b"HTTP/1.1 101 Switching Protocols\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\r\n",
}
"""By path; any other gets `ANSWER` and as its body the request line."""

ENDS_AFTER_ANSWER = frozenset({b"/ws"})
RESET = b"/reset"
HALF = b"/half"
"""Half of a body, then a reset."""
NEVER = frozenset({b"/never", b"/timeout"})
"""No answer for as long as the other side stays."""


class _Handler(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        with contextlib.suppress(OSError):
            while self._one():
                pass

    def _one(self) -> bool:
        line = self.rfile.readline()
        if not line:
            return False
        _read_rest(self.rfile)
        method, target, _ = line.split(b" ", 2)
        path = target.partition(b"?")[0]
        if path in NEVER:
            self.rfile.read()
        if path == HALF:
            self.wfile.write(ANSWER + b"content-length: 10\r\n\r\nhalf")
        if path in {RESET, HALF}:
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        if path in {RESET, HALF} or path in NEVER:
            return False
        body = b"%b %b\n" % (method, target)
        answer = ANSWERS.get(path) or ANSWER + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        if method == b"HEAD":
            answer = answer.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        self.wfile.write(answer)
        return path not in ENDS_AFTER_ANSWER


def _read_rest(stream: BinaryIO) -> None:
    """The headers, and the body that they announce."""
    length, chunked = 0, False
    while (line := stream.readline()) not in {b"\r\n", b""}:
        name, _, value = line.lower().partition(b":")
        if name == b"content-length":
            length = int(value)
        chunked = chunked or (name == b"transfer-encoding" and b"chunked" in value)
    if length:
        stream.read(length)
    while chunked:
        size = int(stream.readline().strip() or b"0", 16)
        if size:
            stream.read(size + 2)
        else:
            while stream.readline() not in {b"\r\n", b""}:
                pass
            return


class _Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    block_on_close = False
    daemon_threads = True
    request_queue_size = 1024


@contextlib.contextmanager
def serve_upstream() -> Iterator[int]:
    """The port on which it answers."""
    with _Server(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
