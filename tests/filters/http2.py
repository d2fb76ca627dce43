"""Requests over HTTP/2 with prior knowledge, as frames: no more of it than tests need. Source: RFC 9113, RFC 7541."""

from collections.abc import Iterable

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY = 0, 1, 3, 4, 6, 7
END_STREAM, END_HEADERS, ACK = 1, 4, 1

Headers = Iterable[tuple[str, str]]


def frame(kind: int, flags: int, stream: int, payload: bytes = b"") -> bytes:
    """One frame."""
    return len(payload).to_bytes(3, "big") + bytes((kind, flags)) + stream.to_bytes(4, "big") + payload


def pack(headers: Headers) -> bytes:
    """Literals that are not indexed, never compressed: section 6.2.2 of RFC 7541."""
    return b"".join(b"\0" + _text(name) + _text(value) for name, value in headers)


def _text(value: str) -> bytes:
    raw = value.encode("latin-1")
    if len(raw) < 127:
        return bytes((len(raw),)) + raw
    rest, more = len(raw) - 127, b""
    while rest >= 128:
        more += bytes((rest % 128 + 128,))
        rest //= 128
    return b"\x7f" + more + bytes((rest,)) + raw


def request(stream: int, headers: Headers, body: bytes = b"", trailers: Headers = ()) -> bytes:
    """All frames of one request; `stream` is odd and grows."""
    tail = pack(trailers)
    last = 0 if body or tail else END_STREAM
    out = frame(HEADERS, END_HEADERS | last, stream, pack(headers))
    if body:
        out += frame(DATA, 0 if tail else END_STREAM, stream, body)
    if tail:
        out += frame(HEADERS, END_HEADERS | END_STREAM, stream, tail)
    return out


def split(data: bytes) -> tuple[list[tuple[int, int, int, bytes]], bytes]:
    """The whole frames (kind, flags, stream, payload), and what is left."""
    frames = []
    while len(data) >= 9 and len(data) >= 9 + (length := int.from_bytes(data[:3], "big")):
        frames.append((data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF, data[9 : 9 + length]))
        data = data[9 + length :]
    return frames, data
