"""Log lines: one event, one plain line on stdout, `2026-11-22T20:15:01.123Z INFO console message`."""

import asyncio
import logging
import time

NAME = "console"

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


def _is_news(record: logging.LogRecord) -> bool:
    # At the end uvicorn cancels what still waits, and then shows the trace of each.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))


def start_logging() -> None:
    """Send our log and uvicorn's to descriptor 1, whatever `sys.stdout` is in the process that forked us.

    There is no access log: what a request asks for can be a secret.
    """
    handler = logging.StreamHandler(
        open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
    )
    handler.setFormatter(LineFormatter())
    handler.addFilter(_is_news)
    for name, level in ((NAME, logging.INFO), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers[:] = [handler]
        logger.setLevel(level)
        logger.propagate = False
