"""A log record as one line."""

import time
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from sandbox.events import LogRecord
from sandbox.observe.envoy_log import parse_envoy_line
from sandbox.observe.log_line import LogLine, parse_service_line
from sandbox.observe.redact import redact, redact_json
from sandbox.stack import CONSOLE, ENVOY, JWT_API, UPSTREAM
from sandbox.view.terminal import printable

FILTER = "filter"
_LEVELS = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim", "trace": "dim", "access": "cyan"}
_COLOURS = {ENVOY.name: "blue", JWT_API.name: "magenta", UPSTREAM.name: "cyan", CONSOLE.name: "white", FILTER: "bold green"}


def render_record(record: LogRecord, *, secrets: bool = False) -> Text:
    """Time, service, level, text; the filter's own lines stand under `filter`, apart from Envoy's. `secrets`: with tokens."""
    line = parse_record(record)
    seconds, rest = divmod(line.time_s or record.time_s, 1)
    clock = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(rest * 1000):03}"
    source = FILTER if line.plugin else record.service
    text = Text.assemble((f"{clock} ", "dim"), (f"{source:<9}", _COLOURS.get(source, "")))
    if line.level:
        text.append(f"{line.level:<9}", _LEVELS.get(line.level, ""))
        if line.component and not line.plugin:
            text.append(f"{_shown(line.component, secrets)}: ", "dim")
    return text.append(_shown(line.text, secrets))


def _shown(text: str, secrets: bool) -> str:
    return printable(text if secrets else redact(text))


def parse_record(record: LogRecord) -> LogLine:
    """The line in the format of the service that wrote it."""
    return (parse_envoy_line if record.service == ENVOY.name else parse_service_line)(record.line)


def record_as_json(record: LogRecord, *, secrets: bool = False) -> dict[str, Any]:
    """The record for NDJSON; `secrets`: with tokens."""
    line = parse_record(record)
    stamp = datetime.fromtimestamp(line.time_s or record.time_s, UTC).isoformat(timespec="microseconds")
    value = {
        "time": stamp.replace("+00:00", "Z"),
        "service": record.service,
        "filter": bool(line.plugin),
        "level": line.level or None,
        "component": line.component or None,
        "text": line.text,
    }
    return value if secrets else dict(redact_json(value))
