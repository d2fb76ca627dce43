"""A log record as one line, and a crash of the filter as one block."""

import itertools
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from rich.text import Text

from sandbox.events.stack import LogRecord
from sandbox.observe.panic import Block, Frame
from sandbox.observe.redact import redact, redact_json
from sandbox.observe.service_log import parse_line
from sandbox.stack import CONSOLE, ENVOY, JWT_API, UPSTREAM
from sandbox.view.terminal import printable

Entry = LogRecord | Block[LogRecord]

FILTER = "filter"
_LEVELS = {"warning": "yellow", "error": "red", "critical": "bold red", "debug": "dim", "trace": "dim", "access": "cyan"}
_COLOURS = {ENVOY.name: "blue", JWT_API.name: "magenta", UPSTREAM.name: "cyan", CONSOLE.name: "white", FILTER: "bold green"}
_POLICIES = {
    "FAIL_CLOSED": "this worker answers 503 to every request, until the filter is replaced",
    "FAIL_OPEN": "requests pass this worker without the filter from now on, in silence",
    "FAIL_RELOAD": "a new VM takes the next request; after another crash soon, 503 for about a second",
}
# Source: seen with Envoy 1.40.
_REFUSED = "it was starting: Envoy does not take this filter, and goes on with the one before"
_MARGIN = " " * 24


def render_record(entry: Entry, *, secrets: bool = False) -> Text:
    """Time, service, level, text; the filter's own lines stand under `filter`, apart from Envoy's. `secrets`: with tokens."""
    return _render_crash(entry, secrets) if isinstance(entry, Block) else _render_line(entry, secrets)


def _render_line(record: LogRecord, secrets: bool) -> Text:
    line = parse_line(record.service, record.line)
    text = _begin(line.time_s or record.time_s, FILTER if line.plugin else record.service)
    if line.level:
        text.append(f"{printable(line.level):<9}", _LEVELS.get(line.level, ""))
        if line.component and not line.plugin:
            text.append(f"{_shown(line.component, secrets)}: ", "dim")
    return text.append(_shown(line.text, secrets))


def _render_crash(block: Block[LogRecord], secrets: bool) -> Text:
    """What the filter said, where it was, and what follows; frames of the runtime are only counted."""
    panic, first = block.panic, block.items[0]
    text = _begin(parse_line(first.service, first.line).time_s or first.time_s, FILTER)
    text.append(f"{'crash':<9}", _LEVELS["critical"])
    said = [_shown(line, secrets) for line in panic.title.splitlines()] or [""]
    text.append(f"\n{_MARGIN}".join(said), "bold red")
    width = max((len(frame.function) for frame in panic.frames if not frame.of_runtime and frame.file), default=0)
    for of_runtime, frames in itertools.groupby(panic.frames, key=lambda frame: frame.of_runtime):
        for told in [_count(list(frames))] if of_runtime else (_place(frame, width) for frame in frames):
            text.append(f"\n{_MARGIN}{_shown(told, secrets)}", "dim" if of_runtime else "")
    text.append(f"\n{_MARGIN}in {_shown(panic.callback, secrets)}", "dim")
    if panic.is_told:
        text.append(f": {_shown(panic.reason, secrets)}", "dim")
    if follows := describe_consequence(block):
        text.append(f"\n{_MARGIN}{printable(follows)}", "yellow")
    return text


def render_levels(levels: Mapping[str, str]) -> Text:
    """One line about log levels that were changed."""
    told = ", ".join(f"{'all loggers' if name == 'all' else name} at {level}" for name, level in levels.items())
    return Text.assemble(("✔ ", "green"), f"Envoy logs {printable(told)}")


def raw_lines(entry: Entry, *, secrets: bool = False, for_terminal: bool) -> list[str]:
    """The line, or lines, as the service wrote them; `for_terminal`: without what a terminal would obey."""
    lines = [record.line for record in (entry.items if isinstance(entry, Block) else (entry,))]
    told = lines if secrets else [redact(line) for line in lines]
    return [printable(line) for line in told] if for_terminal else told


def _begin(time_s: float, source: str) -> Text:
    seconds, rest = divmod(time_s, 1)
    clock = time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(rest * 1000):03}"
    return Text.assemble((f"{clock} ", "dim"), (f"{source:<9}", _COLOURS.get(source, "")))


def _shown(text: str, secrets: bool) -> str:
    return printable(text if secrets else redact(text))


def _count(frames: list[Frame]) -> str:
    return f"… {len(frames)} {'frame' if len(frames) == 1 else 'frames'} of the runtime"


def _place(frame: Frame, width: int) -> str:
    return f"{frame.function:<{width}}  {frame.place}" if frame.file else frame.function


def describe_consequence(block: Block[LogRecord]) -> str:
    """What follows from a crash: the failure policy and what it means; `""` where nobody knows."""
    if block.panic.at_start:
        return _REFUSED
    return f"failure policy {block.policy} (now): {_POLICIES[block.policy]}" if block.policy in _POLICIES else ""


def record_as_json(entry: Entry, *, secrets: bool = False) -> dict[str, Any]:
    """The entry for NDJSON; `secrets`: with tokens. A crash is a record that has `panic` besides, with all frames."""
    value = _crash_fields(entry) if isinstance(entry, Block) else _line_fields(entry)
    return value if secrets else dict(redact_json(value))


def _line_fields(record: LogRecord) -> dict[str, Any]:
    line = parse_line(record.service, record.line)
    return {
        "time": _stamp(line.time_s or record.time_s),
        "service": record.service,
        "filter": bool(line.plugin),
        "level": line.level or None,
        "component": line.component or None,
        "text": line.text,
    }


def _crash_fields(block: Block[LogRecord]) -> dict[str, Any]:
    panic, first = block.panic, block.items[0]
    return {
        "time": _stamp(parse_line(first.service, first.line).time_s or first.time_s),
        "service": first.service,
        "filter": True,
        "level": "error",
        "component": "wasm",
        "text": panic.title,
        "panic": {
            "message": panic.message,
            "callback": panic.callback,
            "reason": panic.reason,
            "frames": [{"function": frame.function, "file": frame.file, "line": frame.line} for frame in panic.frames],
            "policy": block.policy,
        },
    }


def _stamp(time_s: float) -> str:
    return datetime.fromtimestamp(time_s, UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")
