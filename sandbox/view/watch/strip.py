"""What goes on beside the exchanges: the token's life, the filter's versions, what can't be seen, and crashes."""

import time
from collections import Counter, deque

from rich.text import Text

from sandbox.events.stack import LogRecord
from sandbox.events.watch import Dropped, FilterRefused, FilterState, FilterSwapped, TapState, TokenFetched, TokenState, Told
from sandbox.observe.panic import Block
from sandbox.observe.redact import redact
from sandbox.view.logs import describe_consequence
from sandbox.view.terminal import printable

REMEMBERED = 12
MAX_REASONS = 8
SUCCESS = "success"


class Strip:
    """Takes what is told, and shows it in a few lines. Times are monotonic, unless a record has one."""

    def __init__(self, *, tick_s: float | None = None, tick_version: str | None = None, secrets: bool = False) -> None:
        """The filter fetches every `tick_s`, as long as it is `tick_version`. `secrets`: tokens in full."""
        self._secrets = secrets
        self._tick_s = tick_s
        self._tick_version = tick_version
        self._tap: TapState | None = None
        self._filter: FilterState | None = None
        self._token: tuple[float, TokenState] | None = None
        self._fetches: deque[TokenFetched] = deque(maxlen=REMEMBERED)
        self._swaps: deque[FilterSwapped | FilterRefused] = deque(maxlen=REMEMBERED)
        self._dropped: Counter[str] = Counter()
        self._crash: Block[LogRecord] | None = None
        self._crashes = 0

    def feed(self, record: Told, now_s: float) -> None:
        """Take one record."""
        match record:
            case TapState():
                self._tap = record
            case FilterState():
                self._filter = record
            case TokenState():
                self._token = (now_s, record)
            case TokenFetched():
                self._fetches.append(record)
            case FilterSwapped() | FilterRefused():
                self._swaps.append(record)
            case Dropped():
                known = record.because in self._dropped or len(self._dropped) < MAX_REASONS
                self._dropped[record.because if known else "other reasons"] += record.count
            case Block():
                self._crash = record
                self._crashes += 1

    def forget(self) -> None:
        """Begin to count anew."""
        self._dropped.clear()
        self._crash, self._crashes = None, 0

    def render(self, now_s: float) -> list[Text]:
        """The lines: as many as before, but for one more when something is missing, and two when something crashed."""
        lines = [self._render_token(now_s), self._render_filter(), self._render_taps()]
        if self._dropped:
            reasons = "; ".join(f"{count} because {printable(reason)}" for reason, count in self._dropped.most_common())
            lines.append(_line("missing", (reasons, "yellow")))
        if self._crash:
            times = f"  (crash {self._crashes})" if self._crashes > 1 else ""
            summary = self._crash.panic.summary
            said = printable(summary if self._secrets else redact(summary))
            lines.append(_line("crash", (f"{said}  in {printable(self._crash.panic.callback)}{times}", "bold red")))
            lines.append(_line("", (printable(describe_consequence(self._crash)), "yellow")))
        return lines

    def _render_token(self, now_s: float) -> Text:
        if self._token is None:
            return _line("token", ("nothing is known yet", "dim"))
        came_s, state = self._token
        age_s = None if state.age_s is None else state.age_s + now_s - came_s
        line = _line("token", ("none yet", "yellow") if age_s is None else (f"{age_s:.0f} s old", "green"))
        line.append(self._next_fetch(age_s))
        for fetch in reversed(self._fetches):
            line.append("  ").append(render_fetch(fetch))
        return line

    def _next_fetch(self, age_s: float | None) -> str:
        if self._fetches and self._fetches[-1].outcome != SUCCESS:
            return ", the last fetch failed: it tries again"
        version = self._filter.version if self._filter else None
        if age_s is None or self._tick_s is None or version != self._tick_version:
            return ""
        rest_s = self._tick_s - age_s
        return f", next fetch in {rest_s:.0f} s" if rest_s >= 0.5 else ", next fetch now"

    def _render_filter(self) -> Text:
        if self._filter is None:
            return _line("filter", ("nothing is known yet", "dim"))
        version = self._filter.version
        line = _line("filter", (short_version(version), "green" if version else "red"))
        for swap in reversed(self._swaps):
            line.append("  ").append(render_swap(swap))
        return line

    def _render_taps(self) -> Text:
        tap = self._tap
        if tap is None:
            return _line("sees", ("nothing is known yet", "dim"))
        return _line("sees", describe_tap(tap))


def _line(name: str, *parts: tuple[str, str]) -> Text:
    return Text.assemble((f"{name:<9}", "bold"), *parts)


def describe_tap(tap: TapState) -> tuple[str, str]:
    """Which requests are seen, and the style for that."""
    if not tap.attached:
        return f"NOTHING: {printable(tap.reason or 'the taps are not attached')}", "bold red"
    reason = f" ({printable(tap.reason)})" if tap.reason else ""
    if (tap.share or 1) > 1:
        return f"only one of {tap.share} requests: there are more than Envoy can show{reason}", "bold yellow"
    return f"every request{reason}", "yellow" if reason else "green"


def render_fetch(fetch: TokenFetched) -> Text:
    """When, and how it ended."""
    times = f" ×{fetch.count}" if fetch.count > 1 else ""
    good = fetch.outcome == SUCCESS
    said = ("ok" if good else printable(fetch.outcome)) + times
    return Text.assemble((f"{_clock(fetch.time_s)} ", "dim"), (said, "green" if good else "bold red"))


def render_swap(swap: FilterSwapped | FilterRefused) -> Text:
    """When, and what is live since then; or that it was refused."""
    if isinstance(swap, FilterRefused):
        said, style = ("refused" if swap.count == 1 else f"refused {swap.count}"), "bold red"
    elif swap.version and swap.before and swap.version.partition("-")[0] == swap.before.partition("-")[0]:
        said, style = "new configuration", "green"
    else:
        said, style = f"{short_version(swap.before)} → {short_version(swap.version)}", "green" if swap.version else "red"
    return Text.assemble((f"{_clock(swap.time_s)} ", "dim"), (said, style))


def short_version(version: str | None) -> str:
    """The first digits of the module's hash."""
    return printable(version.partition("-")[0][:12]) if version else "none"


def _clock(time_s: float) -> str:
    return time.strftime("%H:%M:%S", time.localtime(time_s))
