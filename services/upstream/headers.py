"""Which response headers `/response-headers` sets, read from its query byte by byte. No HTTP."""

import re
from urllib.parse import unquote_to_bytes

from services.upstream.limits import MAX_HEADERS, Refusal, RefusedError

# Source: RFC 9110 section 5.6.2, token.
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}")
_CONTROL = re.compile(rb"[\x00-\x1f\x7f]")
# They frame the message; a wrong one would break the connection instead of reaching the filter.
_FRAMING = frozenset({b"connection", b"content-length", b"keep-alive", b"te", b"trailer", b"transfer-encoding", b"upgrade"})


def parse_response_headers(query: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Read a raw query as headers: in order, lower-case names, duplicates kept, values as the very bytes asked for.

    Spaces around a value are dropped: they are no part of it on the wire.

    Raises: RefusedError.
    """
    fields = [field.partition(b"=") for field in query.split(b"&") if field]
    if len(fields) > MAX_HEADERS:
        raise RefusedError(Refusal(error="too many headers", limit=f"{MAX_HEADERS} headers"))
    return tuple((_parse_name(name), _parse_value(value)) for name, _, value in fields)


def _parse_name(raw: bytes) -> bytes:
    name = _decode(raw).lower()
    if not _NAME.fullmatch(name):
        raise RefusedError(Refusal(error="a header name is not a token", limit="RFC 9110 token, 1 to 256 characters"))
    if name in _FRAMING:
        raise RefusedError(Refusal(error=f"{name.decode()} frames the message", limit="any header but the framing ones"))
    return name


def _parse_value(raw: bytes) -> bytes:
    value = _decode(raw)
    if _CONTROL.search(value):
        raise RefusedError(Refusal(error="a header value has a control character", limit="no byte below 0x20, no 0x7f"))
    return value.strip(b" ")


def _decode(raw: bytes) -> bytes:
    return unquote_to_bytes(raw.replace(b"+", b" "))
