"""Which exchanges are wanted, as it is typed."""

import fnmatch
import re
from collections.abc import Iterator
from dataclasses import dataclass

from sandbox.errors import ConfigError
from sandbox.observe.exchange import Exchange
from sandbox.observe.headers import Change, Headers

_STATUS = re.compile(r"(?P<digit>[1-9])xx|(?P<first>\d{3})(?:-(?P<last>\d{3}))?", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of `paths`, one of `statuses`, all of `headers`, something done by the filter, one of `changed_names` touched.

    What is empty chooses nothing out. Paths and values are patterns; a path is looked at with and without its query.
    """

    paths: tuple[re.Pattern[str], ...] = ()
    statuses: tuple[range, ...] = ()
    headers: tuple[tuple[str, re.Pattern[str] | None], ...] = ()
    changed: bool = False
    changed_names: tuple[re.Pattern[str], ...] = ()

    def takes(self, exchange: Exchange) -> bool:
        """Whether it is wanted."""
        return (
            self._takes_path(exchange.path)
            and (not self.statuses or any(exchange.status in span for span in self.statuses))
            and all(_has(exchange, name, value) for name, value in self.headers)
            and (not self.changed or is_touched(exchange))
            and self._takes_changes(exchange)
        )

    def _takes_path(self, path: str) -> bool:
        plain = path.partition("?")[0]
        return not self.paths or any(pattern.match(path) or pattern.match(plain) for pattern in self.paths)

    def _takes_changes(self, exchange: Exchange) -> bool:
        patterns = self.changed_names
        return not patterns or any(pattern.match(change.name) for change in changes_of(exchange) for pattern in patterns)


def changes_of(exchange: Exchange) -> Iterator[Change]:
    """What the filter did on both ways."""
    yield from exchange.request.changes
    if exchange.response:
        yield from exchange.response.changes


def is_touched(exchange: Exchange) -> bool:
    """Whether the filter did anything: to a header, or by answering or crashing."""
    return bool(exchange.trapped) or exchange.answered_by == "filter" or any(True for _ in changes_of(exchange))


def _has(exchange: Exchange, name: str, value: re.Pattern[str] | None) -> bool:
    """Whether the header is there on any side of the filter, on either way."""
    ways = (exchange.request, exchange.response) if exchange.response else (exchange.request,)
    lists: list[Headers] = [headers for way in ways for headers in (way.before, way.after or ())]
    return any(key == name and (value is None or value.match(text)) for headers in lists for key, text in headers)


def make_choice(
    *,
    paths: tuple[str, ...] = (),
    statuses: tuple[str, ...] = (),
    headers: tuple[str, ...] = (),
    changed: bool = False,
    changed_names: tuple[str, ...] = (),
) -> Choice:
    """Read what was typed: globs, `404` `5xx` `500-599` (several with commas), `NAME` or `NAME=VALUE` with a glob as value.

    Raises: ConfigError for a status or a header that is none.
    """
    return Choice(
        paths=tuple(_glob(path) for path in paths),
        statuses=tuple(_parse_status(word) for words in statuses for word in words.split(",")),
        headers=tuple(_parse_header(text) for text in headers),
        changed=changed,
        changed_names=tuple(_glob(name.lower()) for name in changed_names),
    )


def _glob(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(fnmatch.translate(pattern))
    except (re.error, OverflowError, RecursionError) as error:
        raise ConfigError(f"{pattern!r} is no pattern: {error}", hint="sandbox watch --path '/api/*'") from None


def _parse_status(word: str) -> range:
    match = _STATUS.fullmatch(word.strip())
    if match is None:
        raise ConfigError(f"--status {word!r} is no status", hint="sandbox watch --status 404,5xx,300-308")
    if match["digit"]:
        return range(int(match["digit"]) * 100, int(match["digit"]) * 100 + 100)
    return range(int(match["first"]), int(match["last"] or match["first"]) + 1)


def _parse_header(text: str) -> tuple[str, re.Pattern[str] | None]:
    name, given, value = text.partition("=")
    if not name.strip():
        raise ConfigError(f"--header {text!r} names no header", hint="sandbox watch --header x-team=red")
    return name.strip().lower(), _glob(value) if given else None
