"""A body as it comes: JSON laid out, text as text, anything else by its size."""

import json
from typing import Any

from rich.text import Text

from sandbox.observe.redact import redact
from sandbox.view.terminal import printable

MAX_SHOWN_BYTES = 64 * 1024
_STREAMS = ("text/event-stream", "application/x-ndjson")
WIDTH = 96


class BodyView:
    """Takes the pieces of one body. What arrives in lines for ever is shown line by line, anything else at its end."""

    def __init__(self, content_type: str, *, secrets: bool) -> None:
        self._streams = content_type.startswith(_STREAMS)
        self._secrets = secrets
        self._kept = b""
        self._more_bytes = 0

    def feed(self, data: bytes) -> Text | None:
        """What to show now."""
        if self._streams:
            lines, feed, self._kept = (self._kept + data).rpartition(b"\n")
            return self._text(lines.decode(errors="replace")) if feed else None
        room = MAX_SHOWN_BYTES - len(self._kept)
        self._kept += data[:room]
        self._more_bytes += len(data[room:])
        return None

    def end(self) -> Text | None:
        """What is left to show; None for nothing."""
        if not self._kept:
            return None
        try:
            text = self._kept.decode()
        except UnicodeDecodeError as error:
            if not self._more_bytes or error.start < len(self._kept) - 3:
                return Text(f"[{len(self._kept) + self._more_bytes} bytes, not text: use -s or -o FILE]", "dim")
            text = self._kept[: error.start].decode()
        if self._more_bytes:
            return self._text(text).append(f"\n[{self._more_bytes} more bytes: use -s or -o FILE]", "dim")
        return self._text(lay_out(text.removesuffix("\n")))

    def _text(self, text: str) -> Text:
        shown = text if self._secrets else redact(text)
        lines = shown.replace("\r\n", "\n").split("\n")
        return Text("\n".join(map(printable, lines)))


class PlainBody:
    """Takes the pieces of one body and gives them back as they are, but for tokens, of which a piece may hold a part."""

    def __init__(self, *, secrets: bool) -> None:
        self._secrets = secrets
        self._kept = b""

    def feed(self, data: bytes) -> bytes:
        """What to print now: whole lines, or all of a line that does not end."""
        if self._secrets:
            return data
        lines, feed, self._kept = (self._kept + data).rpartition(b"\n")
        if len(self._kept) > MAX_SHOWN_BYTES:
            lines, feed, self._kept = lines + feed + self._kept, b"", b""
        return _redact_bytes(lines + feed)

    def end(self) -> bytes:
        """What is left to print."""
        rest, self._kept = self._kept, b""
        return _redact_bytes(rest)


def _redact_bytes(data: bytes) -> bytes:
    return redact(data.decode(errors="surrogateescape")).encode(errors="surrogateescape")


def lay_out(text: str, *, width: int = WIDTH) -> str:
    """JSON with each list and object on one line where it fits; anything else as it is."""
    try:
        return _lay_out(json.loads(text), 0, width)
    except (ValueError, RecursionError):
        return text


def _lay_out(value: Any, depth: int, width: int) -> str:
    line = json.dumps(value, ensure_ascii=False)
    if len(line) + 2 * depth <= width or not isinstance(value, dict | list) or not value:
        return line
    pad = "  " * (depth + 1)
    if isinstance(value, dict):
        opening, closing = "{}"
        items = [f"{json.dumps(key, ensure_ascii=False)}: {_lay_out(item, depth + 1, width)}" for key, item in value.items()]
    else:
        opening, closing = "[]"
        items = [_lay_out(item, depth + 1, width) for item in value]
    return f"{opening}\n{pad}" + f",\n{pad}".join(items) + f"\n{'  ' * depth}{closing}"
