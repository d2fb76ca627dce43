"""Where each header of an exchange is from: the client, Envoy, the filter or the upstream. Pure."""

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Literal

from sandbox.observe.exchange import Exchange, Way, merge
from sandbox.observe.headers import Change, Headers

Origin = Literal["client", "envoy", "filter", "upstream"]

_ENVOYS = re.compile(r"x-envoy-.*|x-request-id|server|:status")
"""What Envoy 1.40, as envoy.yaml has it, puts on an answer itself."""
_LINES = re.compile(r"[\r\n]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One header and who it is from, None where nobody saw. `change` is what the filter did; what it took away stands, too."""

    name: str
    value: str
    origin: Origin | None
    change: Change | None = None


def trace_request(sent: Headers, way: Way | None) -> tuple[Line, ...]:
    """The headers behind the filter, with what it took away; `sent` by the client. Without a `way` nobody saw more than those."""
    if way is None:
        return tuple(Line(name=name, value=value, origin="client") for name, value in sent)
    own = Counter(":authority" if name == "host" else name for name, _ in sent)
    own.update((":method", ":path", ":scheme"))
    origins: list[Origin] = []
    for name, _ in way.before:
        origins.append("client" if own[name] else "envoy")
        own[name] -= 1
    return _trace(way, origins)


def trace_answer(got: Headers, exchange: Exchange | None, *, around: bool = False) -> tuple[Line, ...]:
    """What the client got, with what the filter took away. `around`: on a way around the filter, where nobody looks."""
    way = exchange.response if exchange else None
    if exchange is None or way is None or way.after is None:
        other: Origin | None = exchange.answered_by if exchange else "upstream" if around else None
        return tuple(Line(name=name, value=value, origin="envoy" if _ENVOYS.fullmatch(name) else other) for name, value in got)
    answerer: Origin = exchange.answered_by or "envoy"
    origins: list[Origin] = [
        "envoy" if _ENVOYS.fullmatch(name) and answerer == "upstream" else answerer for name, _ in way.before
    ]
    lines = [line for line in _trace(way, origins) if line.name != ":status"]
    return _as_received(lines, got)


def _trace(way: Way, origins: list[Origin]) -> tuple[Line, ...]:
    """The headers after the filter and what it took away; `origins` are those before it."""
    touched = {change.before_index for change in way.changes}
    untouched = (by for place, by in enumerate(origins) if place not in touched)
    lines = []
    for name, value, change in merge(way):
        origin: Origin | None = "filter"
        if change is None:
            origin = next(untouched, None)
        elif change.kind in ("moved", "removed") and change.before_index is not None:
            origin = origins[change.before_index]
        lines.append(Line(name=name, value=value, origin=origin, change=change))
    return tuple(lines)


def _as_received(lines: list[Line], got: Headers) -> tuple[Line, ...]:
    """`lines` as the client received them: its values and its order, with what came on the way there."""
    injected = {
        piece.partition(":")[0].strip().lower(): line
        for line in lines
        if line.change and line.change.injects
        for piece in _LINES.split(line.value)[1:]
    }
    waiting = list(lines)
    received: list[Line] = []
    for name, value in got:
        place = next((place for place, line in enumerate(waiting) if line.name == name and not _is_removed(line)), None)
        if place is None:
            by: Origin = "filter" if name in injected else "envoy"
            received.append(Line(name=name, value=value, origin=by, change=injected[name].change if name in injected else None))
            continue
        received += [line for line in waiting[:place] if _is_removed(line)]
        received.append(replace(waiting[place], value=value))
        waiting = [line for line in waiting[:place] if not _is_removed(line)] + waiting[place + 1 :]
    return (*received, *(line for line in waiting if _is_removed(line)))


def _is_removed(line: Line) -> bool:
    return line.change is not None and line.change.kind == "removed"
