"""Log lines: one event, one plain line on stdout, `2026-11-22T20:15:01.123Z INFO console message`."""

import asyncio
import logging
import time

# A line feed or an escape in a message must neither start a second line nor reach a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


class LineFormatter(logging.Formatter):
    """Renders any record, traceback included, as one line without control characters."""

    converter = staticmethod(time.gmtime)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line feed."""
        return super().format(record).translate(_VISIBLE)


def start_logging() -> None:
    """Send all logs to descriptor 1, whatever `sys.stdout` is in the process that forked us."""
    handler = logging.StreamHandler(open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115
    handler.setFormatter(LineFormatter("%(asctime)s.%(msecs)03dZ %(levelname)s console %(message)s", "%Y-%m-%dT%H:%M:%S"))
    handler.addFilter(_is_news)
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)  # the HTTP client tells each request as INFO
    logging.getLogger("sandbox.console").setLevel(logging.INFO)


def _is_news(record: logging.LogRecord) -> bool:
    # At the end uvicorn cancels what still waits, and then shows the trace of each.
    return not (record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError))
