"""What happened between one state of filter and token and the next. Pure."""

from collections.abc import Iterator

from sandbox.events.watch import FilterRefused, FilterState, FilterSwapped, Happened, TokenFetched, TokenState


class States:
    """Remembers the last state of each; the first one is where it begins, and nothing has happened yet."""

    def __init__(self) -> None:
        self._filter: FilterState | None = None
        self._token: TokenState | None = None

    def feed(self, state: FilterState | TokenState, time_s: float) -> Iterator[Happened]:
        """Tell what `state` says of the time since the last one; `time_s` is when it came."""
        if isinstance(state, TokenState):
            before, self._token = self._token, state
            if before is not None:
                yield from _fetched(before, state, time_s)
            return
        last, self._filter = self._filter, state
        if last is None:
            return
        if state.version != last.version:
            yield FilterSwapped(time_s=time_s, version=state.version, before=last.version)
        count = _more(last.rejected, state.rejected) + _more(last.failed, state.failed)
        if count:
            yield FilterRefused(time_s=time_s, count=count)


def _fetched(before: TokenState, after: TokenState, time_s: float) -> Iterator[TokenFetched]:
    # A new Envoy counts anew, in all of its counters.
    counted = before.fetches if sum(before.fetches.values()) <= sum(after.fetches.values()) else {}
    for outcome, number in after.fetches.items():
        count = _more(counted.get(outcome), number)
        if count:
            yield TokenFetched(time_s=time_s, outcome=outcome, count=count)


def _more(before: int | None, after: int | None) -> int:
    """How many more there are, of what counts from 0 after a restart."""
    was, is_ = before or 0, after or 0
    return is_ - was if is_ >= was else is_
