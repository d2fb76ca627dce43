"""What `watch` prints line by line: exchanges as data, all else as talk; and everything as JSON."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

from rich.text import Text

from sandbox.events.watch import Dropped, FilterRefused, FilterState, FilterSwapped, TapState, TokenFetched, TokenState, Told
from sandbox.observe.exchange import Exchange, exchange_as_json
from sandbox.observe.panic import Block
from sandbox.view.logs import record_as_json, render_record
from sandbox.view.terminal import printable
from sandbox.view.watch.strip import SUCCESS, describe_tap, render_fetch, render_swap

_NAMES: Mapping[type, str] = {
    TapState: "tap",
    FilterState: "filter",
    TokenState: "token",
    TokenFetched: "fetched",
    FilterSwapped: "swapped",
    FilterRefused: "refused",
    Dropped: "dropped",
    Block: "crash",
}

SUM_UP_S = 1.0


class Talk:
    """Beside the exchanges: what the user should know, each thing once."""

    def __init__(self, *, secrets: bool) -> None:
        self._secrets = secrets
        self._dropped: Counter[str] = Counter()
        self._summed_s = -math.inf
        self._all_is_seen = True
        self._crashed_of = ""

    def render(self, record: Told) -> Text | None:
        """One line, or a block for a crash; None for what is as it should be, and for what is summed up."""
        match record:
            case TapState():
                return self._render_tap(record)
            case Dropped():
                self._dropped[record.because] += record.count
                return None
            case TokenFetched() if record.outcome != SUCCESS:
                return Text.assemble(("! ", "yellow"), "fetching the token: ", render_fetch(record))
            case FilterSwapped() | FilterRefused():
                return Text.assemble(("! ", "yellow"), "filter: ", render_swap(record))
            case Block() if record.panic.summary != self._crashed_of:
                self._crashed_of = record.panic.summary
                return render_record(record, secrets=self._secrets)
            case _:
                return None

    def sum_up(self, now_s: float) -> list[Text]:
        """What is missing since the last time, no more often than once a second."""
        if not self._dropped or now_s - self._summed_s < SUM_UP_S:
            return []
        notes = [_note(f"{count} missing here: {printable(reason)}", "yellow") for reason, count in self._dropped.items()]
        self._dropped.clear()
        self._summed_s = now_s
        return notes

    def _render_tap(self, tap: TapState) -> Text | None:
        is_all = tap.attached and (tap.share or 1) == 1  # an Envoy that is slow to answer is told on the screen only
        was_all, self._all_is_seen = self._all_is_seen, is_all
        said, style = describe_tap(replace(tap, reason=None) if is_all else tap)
        return None if is_all and was_all else _note(f"seen now: {said}", style)


def _note(said: str, style: str) -> Text:
    return Text.assemble(("! ", "yellow"), (said, style))


class Documents:
    """Everything as objects for NDJSON: an exchange as docs/exchange.schema.json has it, all else with its name as `event`."""

    def __init__(self, *, secrets: bool) -> None:
        self._secrets = secrets
        self._fetches: Mapping[str, int] | None = None

    def make(self, record: Exchange | Told) -> dict[str, Any] | None:
        """The object; None for a token that has only grown older."""
        if isinstance(record, TokenState):
            before, self._fetches = self._fetches, record.fetches
            if before == record.fetches:
                return None
        if isinstance(record, Exchange):
            return exchange_as_json(record)
        if isinstance(record, Block):
            return {"event": _NAMES[Block], **record_as_json(record, secrets=self._secrets)}
        return {"event": _NAMES[type(record)], **asdict(record)}
