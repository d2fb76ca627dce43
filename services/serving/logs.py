"""Log lines: one event, one plain line on stdout, `2026-11-22T20:15:01.123Z INFO jwt-api message`."""

import logging
import time

# A line feed or an escape in a message must neither start a second line nor reach a terminal.
_VISIBLE = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160))} | {0x2028: "\\u2028", 0x2029: "\\u2029"}


class LineFormatter(logging.Formatter):
    """Renders any record of service `name`, traceback included, as one line without control characters."""

    converter = staticmethod(time.gmtime)

    def __init__(self, name: str) -> None:
        super().__init__(f"%(asctime)s.%(msecs)03dZ %(levelname)s {name} %(message)s", "%Y-%m-%dT%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, without its line feed."""
        return super().format(record).replace("\nTraceback ", ": Traceback ", 1).translate(_VISIBLE)


def start_logging(name: str) -> None:
    """Send all logs to descriptor 1 as those of service `name`, whatever `sys.stdout` is in the process that forked us."""
    handler = logging.StreamHandler(open(1, "w", encoding="utf-8", errors="backslashreplace", closefd=False))  # noqa: SIM115
    handler.setFormatter(LineFormatter(name))
    logging.basicConfig(handlers=[handler], level=logging.INFO, force=True)
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
    logging.getLogger("uvicorn.access").addFilter(_cut_queries)


def _cut_queries(record: logging.LogRecord) -> bool:
    # Tokens travel in queries, too.
    if isinstance(record.args, tuple):
        record.args = tuple(arg.partition("?")[0] if isinstance(arg, str) else arg for arg in record.args)
    return True
