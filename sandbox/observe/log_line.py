"""A line of any service's log, parsed."""

import re
from dataclasses import dataclass
from datetime import datetime

# What services and console write: `2026-11-22T20:15:01.123Z INFO jwt-api message`.
_OURS = re.compile(r"(?P<time>\d{4}-\d\d-\d\dT[\d:.]+Z) (?P<level>[A-Z]+) \S+ (?P<text>.*)", re.DOTALL)

LEVELS = ("trace", "debug", "info", "warning", "error", "critical")
"""From the least to the worst: Envoy's words, of which Python's are some."""
_SEVERITY = {name: number for number, name in enumerate(LEVELS)} | {"access": LEVELS.index("info")}


@dataclass(frozen=True, slots=True, kw_only=True)
class LogLine:
    """One parsed line.

    `level` is the writer's own word in lower case (`info`, `critical`…), or `access` for Envoy's access log. `time_s` is
    the writer's own stamp, seconds since the epoch. `plugin` is set on lines that the filter itself wrote, `thread` is Envoy's
    number of the thread. `is_ours`: it is about what the sandbox does itself, of which nobody wants to hear. A line in no
    known format has the level `""` and stands whole in `text`.
    """

    level: str
    component: str
    text: str
    time_s: float | None = None
    source: str = ""
    plugin: str = ""
    thread: str = ""
    is_ours: bool = False

    def is_at_least(self, level: str) -> bool:
        """Whether the line is of this level or worse. A line of the access log counts as `info`, one without a level as all."""
        return self.level not in _SEVERITY or _SEVERITY[self.level] >= _SEVERITY[level]


def parse_service_line(line: str) -> LogLine:
    """Parse a line of one of our own services; never raises."""
    match = _OURS.fullmatch(line)
    if match is None:
        return LogLine(level="", component="", text=line)
    return LogLine(level=match["level"].lower(), component="", text=match["text"], time_s=parse_time(match["time"]))


def parse_time(text: str) -> float | None:
    """Seconds since the epoch of an ISO 8601 time; None for anything else."""
    try:
        return datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None
