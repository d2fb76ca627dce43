"""What became of a list of headers on its way through a filter. Pure; names are compared as they are, so in lower case."""

from bisect import bisect_left
from collections import defaultdict, deque
from dataclasses import dataclass
from itertools import chain, zip_longest
from typing import Literal

Headers = tuple[tuple[str, str], ...]
"""In order, names in lower case, duplicates kept."""

_SPLITS = "\r\n\0"
_UNKNOWN = "!"
"""What Envoy's tap writes for a byte that is not UTF-8."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One thing that a filter did to one header.

    The values and places before and after; None on the side where the header is not. `moved` is a header with its value
    untouched that others of the same list were put before or behind. `exact` is false for a value that Envoy's tap may not have
    shown byte by byte. `injects`: what was written has a CR, LF or NUL, of which a client can read more headers than there are.
    """

    kind: Literal["added", "removed", "changed", "moved"]
    name: str
    before: str | None = None
    after: str | None = None
    before_index: int | None = None
    after_index: int | None = None
    exact: bool = True
    injects: bool = False


def diff_headers(before: Headers, after: Headers) -> tuple[Change, ...]:
    """What leads from `before` to `after`, in the order of `after`; what was removed stands at its old place.

    Of the values that a name lost and those that it got, the first is taken to have become the first, and so on.
    """
    if before == after:
        return ()
    kept, lost, gained = _match(before, after, _common_start(before, after))
    changes = [
        Change(kind="moved", name=before[old][0], before=before[old][1], after=after[new][1], before_index=old, after_index=new)
        for old, new in _out_of_order(kept)
    ]
    for name in lost.keys() | gained.keys():
        changes += [_change(before, after, old, new) for old, new in zip_longest(lost.get(name, ()), gained.get(name, ()))]
    return tuple(sorted(changes, key=_place))


def _common_start(before: Headers, after: Headers) -> int:
    """How many headers both begin with: nothing was done to these, and most filters append."""
    for place, (old, new) in enumerate(zip(before, after, strict=False)):
        if old != new:
            return place
    return min(len(before), len(after))


def _match(
    before: Headers, after: Headers, start: int
) -> tuple[list[tuple[int, int]], dict[str, list[int]], dict[str, list[int]]]:
    """From `start` on: pairs of places with the same name and value, in the order of `before`; each side's others, by name."""
    places: defaultdict[tuple[str, str], deque[int]] = defaultdict(deque)
    for place, pair in enumerate(before[start:], start):
        places[pair].append(place)
    kept: list[tuple[int, int]] = []
    gained: defaultdict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(after[start:], start):
        if places[pair]:
            kept.append((places[pair].popleft(), place))
        else:
            gained[pair[0]].append(place)
    lost: defaultdict[str, list[int]] = defaultdict(list)
    for place in sorted(chain.from_iterable(places.values())):
        lost[before[place][0]].append(place)
    return sorted(kept), lost, gained


def _out_of_order(kept: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The fewest pairs without which the others are in one order: all but a longest increasing subsequence."""
    ends: list[int] = []  # of an increasing run of each length, the lowest last place after
    lengths = []
    for _, new in kept:
        length = bisect_left(ends, new)
        ends[length : length + 1] = [new]
        lengths.append(length)
    moved, wanted = [], len(ends) - 1
    for pair, length in zip(reversed(kept), reversed(lengths), strict=True):
        if length == wanted:
            wanted -= 1
        else:
            moved.append(pair)
    return moved


def _change(before: Headers, after: Headers, old: int | None, new: int | None) -> Change:
    name = before[old][0] if old is not None else after[new or 0][0]
    was, is_ = before[old][1] if old is not None else None, after[new][1] if new is not None else None
    return Change(
        kind="added" if was is None else "removed" if is_ is None else "changed",
        name=name,
        before=was,
        after=is_,
        before_index=old,
        after_index=new,
        exact=_UNKNOWN not in (was or "") and _UNKNOWN not in (is_ or ""),
        injects=is_ is not None and any(char in name or char in is_ for char in _SPLITS),
    )


def _place(change: Change) -> tuple[int, int]:
    """Where to tell of it: at its place after; what was removed, at its place before."""
    place = change.after_index if change.after_index is not None else change.before_index
    return place or 0, change.after_index is None
