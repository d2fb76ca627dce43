"""The echo: what a request was when it arrived, as JSON. Nothing is normalised, so that a filter's work can be seen."""

import base64
import codecs
import json
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from starlette.types import Receive, Scope


class BodyTooLargeError(Exception):
    """A request body beyond the limit that is even counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Body:
    """The first bytes of a request body, and how many there were in all."""

    kept: bytes = b""
    total_bytes: int = 0


async def read_body(scope: Scope, receive: Receive, *, kept_bytes: int, max_bytes: int) -> Body:
    """Read the whole request body, keep the first `kept_bytes` and count the rest.

    Raises: BodyTooLargeError beyond `max_bytes`, at once where the request announces its length.
    """
    for name, value in scope["headers"]:
        if name == b"content-length" and value.isdigit() and int(value) > max_bytes:
            raise BodyTooLargeError
    kept, total = bytearray(), 0
    while True:
        message = await receive()
        chunk: bytes = message.get("body", b"")
        total += len(chunk)
        if total > max_bytes:
            raise BodyTooLargeError
        kept += chunk[: kept_bytes - len(kept)]
        if not message.get("more_body", False):  # also the end of a client that went away
            return Body(kept=bytes(kept), total_bytes=total)


def render_echo(scope: Scope, body: Body) -> bytes:
    """Return the JSON document for one request, with a line feed at its end.

    Header values are Latin-1 decoded, which loses nothing; names are lower-case because ASGI gives them so.
    """
    query = bytes(scope["query_string"])
    document = {
        "method": scope["method"],
        "path": bytes(scope.get("raw_path") or scope["path"].encode()).decode("latin-1"),
        "query": {"raw": query.decode("latin-1"), "pairs": parse_query(query)},
        "http_version": scope["http_version"],
        "headers": [[name.decode("latin-1"), value.decode("latin-1")] for name, value in scope["headers"]],
        "body": render_body(body),
    }
    return json.dumps(document, ensure_ascii=False).encode() + b"\n"


def parse_query(raw: bytes) -> list[list[str]]:
    """Split a raw query into decoded pairs, in order, with duplicates and blanks; a name alone has the value "".

    Bytes that are no UTF-8 become U+FFFD; the raw query tells them.
    """
    fields = (field.partition("=") for field in raw.decode("latin-1").split("&") if field)
    return [[unquote_plus(name), unquote_plus(value)] for name, _, value in fields]


def render_body(body: Body) -> dict[str, Any]:
    """Return the body as text if it is UTF-8 and as base64 if not, and which of the two.

    A character that the limit cuts in two is left out of the text, not held against it.
    """
    truncated = body.total_bytes > len(body.kept)
    try:
        data = codecs.getincrementaldecoder("utf-8")().decode(body.kept, final=not truncated)
        encoding = "utf-8"
    except UnicodeDecodeError:
        data = base64.b64encode(body.kept).decode("ascii")
        encoding = "base64"
    return {
        "encoding": encoding,
        "data": data,
        "total_bytes": body.total_bytes,
        "kept_bytes": len(body.kept),
        "truncated": truncated,
    }
