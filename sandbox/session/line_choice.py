"""Which entries of the log to show."""

import re
from dataclasses import dataclass

from sandbox.errors import ConfigError
from sandbox.events.stack import LogRecord
from sandbox.observe.log_line import LogLine
from sandbox.observe.panic import Block
from sandbox.observe.service_log import parse_line

Entry = LogRecord | Block[LogRecord]


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChoice:
    """Which entries: of `level` or worse, with one of `include` and none of `exclude` in their text."""

    only_filter: bool = False
    level: str | None = None
    include: tuple[re.Pattern[str], ...] = ()
    exclude: tuple[re.Pattern[str], ...] = ()

    @property
    def is_narrow(self) -> bool:
        """Whether fewer entries match than there are of their source, so that the last N matches can be anywhere."""
        return bool(self.level or self.include or self.exclude)

    def takes(self, entry: Entry) -> bool:
        """Whether it is one of them. A crash is the filter's, an error, and all of its text is searched."""
        if isinstance(entry, LogRecord):
            line = parse_line(entry.service, entry.line)
            wanted = (bool(line.plugin) or not self.only_filter) and not line.is_ours
            return wanted and self._takes(line.text, line)
        text = "\n".join(
            (entry.panic.title, entry.panic.callback, *(f"{each.function} {each.place}" for each in entry.panic.frames))
        )
        return self._takes(text, LogLine(level="error", component="wasm", text=text))

    def _takes(self, text: str, line: LogLine) -> bool:
        if self.level and not line.is_at_least(self.level):
            return False
        if self.include and not any(pattern.search(text) for pattern in self.include):
            return False
        return not any(pattern.search(text) for pattern in self.exclude)


def make_line_choice(*, only_filter: bool, level: str | None, include: tuple[str, ...], exclude: tuple[str, ...]) -> LineChoice:
    """Compile what was typed.

    Raises: ConfigError when it is no regular expression.
    """
    return LineChoice(
        only_filter=only_filter,
        level=level,
        include=tuple(_compile("--include", pattern) for pattern in include),
        exclude=tuple(_compile("--exclude", pattern) for pattern in exclude),
    )


def _compile(option: str, pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, OverflowError, RecursionError) as error:
        hint = f"sandbox logs {option} 'token|lease'"
        raise ConfigError(f"{option} {pattern!r} is no regular expression: {error}", hint=hint) from None
