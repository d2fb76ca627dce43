"""What comes in the console's stream, and what follows from it."""

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.events.stack import LogRecord
from sandbox.observe.exchange import Exchange
from sandbox.observe.panic import Block


@dataclass(frozen=True, slots=True, kw_only=True)
class TapState:
    """Whether the console sees exchanges: one of `share`, None while it is not `attached`. `reason` says what is wrong."""

    attached: bool
    share: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterState:
    """The filter that Envoy runs (its `version_text`), and how many updates it refused or could not read."""

    version: str | None
    rejected: int | None
    failed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """The filter's token: whole seconds of age, None before the first, and how many fetches ended how."""

    age_s: float | None
    fetches: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """So many exchanges are missing here."""

    count: int
    because: str


Watched = Exchange | TapState | FilterState | TokenState | Dropped
"""What comes in the console's stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFetched:
    """So many fetches of the token have ended in this way (`success`, `timeout`, `status`…). Seen at `time_s`, epoch, UTC."""

    time_s: float
    outcome: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSwapped:
    """Envoy runs another filter than before, by its `version_text`; None is none. Seen at `time_s`, epoch, UTC."""

    time_s: float
    version: str | None
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRefused:
    """Envoy did not take so many updates of the filter, or could not read them. Seen at `time_s`, epoch, UTC."""

    time_s: float
    count: int


Happened = TokenFetched | FilterSwapped | FilterRefused
"""What two states in a row say."""


Crash = Block[LogRecord]
"""The lines of a crash of the filter, put together."""


Told = TapState | FilterState | TokenState | Dropped | Happened | Crash
"""What goes on beside the exchanges."""
