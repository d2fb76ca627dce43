"""Log lines: one event, one plain line on stdout, `2026-11-22T20:15:01.123Z INFO upstream message`."""

from __future__ import annotations

import asyncio
import logging
import time

NAME = "upstream"

# A line feed or an escape in a message must neither start a second line nor reach a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


class LineFormatter(logging.Formatter):
    """Renders any record, traceback included, as one line without control characters."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line feed."""
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        text = record.getMessage()
        if record.exc_info:
            text = f"{text}: {self.formatException(record.exc_info)}"
        return f"{stamp}.{int(record.msecs):03d}Z {record.levelname} {NAME} {text.translate(_VISIBLE)}"


class _WithoutQuery(logging.Filter):
    """Cuts the query off uvicorn's access records: tokens travel there, too."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
        return True


def _is_news(record: logging.LogRecord) -> bool:
    # uvicorn reports the requests it cancels at the end, with a traceback each, as if the application had failed.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def start_logging() -> None:
    """Send our log and uvicorn's to descriptor 1, whatever `sys.stdout` is in the process that forked us."""
    stream = open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    handler = logging.StreamHandler(stream)
    handler.setFormatter(LineFormatter())
    handler.addFilter(_is_news)
    access = logging.StreamHandler(stream)
    access.setFormatter(LineFormatter())
    access.addFilter(_WithoutQuery())
    for name, chosen, level in (
        (NAME, handler, logging.INFO),
        ("uvicorn.error", handler, logging.WARNING),
        ("uvicorn.access", access, logging.INFO),
    ):
        logger = logging.getLogger(name)
        logger.handlers[:] = [chosen]
        logger.setLevel(level)
        logger.propagate = False
