"""An exchange: one request through the ingress and its answer, before and after the filter."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from sandbox.observe.headers import Change, Headers, diff_headers
from sandbox.observe.redact import redact, redact_header, redact_headers

REQUEST_ID = "x-request-id"
PROBE_ID = "sandbox-probe-"
"""How the id of a request begins that the sandbox sends while it swaps a filter: logs and `watch` leave it out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Way:
    """The headers on one way, pseudo-headers among them, on both sides of the filter, and what it did to them.

    `after` is None where nothing came out of the filter: it answered by itself, or crashed.
    """

    before: Headers
    after: Headers | None
    changes: tuple[Change, ...]


def make_way(before: Headers, after: Headers | None) -> Way:
    """The way with its changes."""
    return Way(before=before, after=after, changes=diff_headers(before, after) if after is not None else ())


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """One request and its answer.

    `id` is the x-request-id, which Envoy gives a request that has none and puts on the answer. `time_s` is seconds since the
    epoch, UTC, when the request was seen, and `duration_ms` the time to the answer's headers; both as the console heard of it,
    some milliseconds off. `status` is what the client got. An exchange without `response` had no answer when it was given up, as
    when the client went away.

    `answered_by` is `filter` where the filter answered by itself, and `envoy` where Envoy did, as when the upstream can't be
    reached or the filter has `trapped`, on this request or on that worker before. Both are None where the taps can't tell:
    Envoy's answer for a crash looks like a filter's own bare 503, and what a filter answers in place of the upstream is not shown
    at all. Envoy's log has `details` on it (%RESPONSE_CODE_DETAILS%), None where it was not asked.
    """

    id: str
    time_s: float
    method: str
    path: str
    status: int | None
    duration_ms: float | None
    request: Way
    response: Way | None
    answered_by: Literal["upstream", "filter", "envoy"] | None
    trapped: bool | None
    details: str | None = None


def value_of(headers: Headers, name: str) -> str | None:
    """The first value of `name`."""
    return next((value for key, value in headers if key == name), None)


def merge(way: Way) -> list[tuple[str, str, Change | None]]:
    """Name, value, and what was done to it: the list as it came out, and what was removed, in the order of both."""
    if way.after is None:
        return [(name, value, None) for name, value in way.before]
    touched = {change.before_index for change in way.changes}
    put = {change.after_index: change for change in way.changes}
    removed = [change for change in way.changes if change.after_index is None]
    removed.sort(key=lambda change: change.before_index or 0, reverse=True)
    untouched = (place for place in range(len(way.before)) if place not in touched)
    merged: list[tuple[str, str, Change | None]] = []
    for place, (name, value) in enumerate(way.after):
        change = put.get(place)
        if change is None:
            old = next(untouched, len(way.before))
            while removed and (removed[-1].before_index or 0) < old:
                merged.append((removed[-1].name, removed[-1].before or "", removed.pop()))
        merged.append((name, value, change))
    merged += [(change.name, change.before or "", change) for change in reversed(removed)]
    return merged


def hide_secrets(exchange: Exchange) -> Exchange:
    """The exchange with its tokens and credentials shortened, its changes as they were with them."""
    return replace(
        exchange,
        id=redact(exchange.id),
        path=redact(exchange.path),
        request=_hide(exchange.request),
        response=_hide(exchange.response) if exchange.response else None,
    )


def _hide(way: Way) -> Way:
    before = redact_headers(way.before)
    after = before if way.after is way.before else redact_headers(way.after) if way.after is not None else None
    return Way(before=before, after=after, changes=tuple(map(_hide_change, way.changes)))


def _hide_change(change: Change) -> Change:
    name = redact(change.name)
    before, after = _hide_value(change.name, change.before), _hide_value(change.name, change.after)
    if (name, before, after) == (change.name, change.before, change.after):
        return change
    return replace(change, name=name, before=before, after=after)


def _hide_value(name: str, value: str | None) -> str | None:
    return None if value is None else redact_header(name, value)


def dump_exchange(exchange: Exchange) -> str:
    """The record as JSON on one line; docs/exchange.schema.json describes it."""
    return json.dumps(exchange_as_json(exchange))


def exchange_as_json(exchange: Exchange) -> dict[str, Any]:
    """The record as what JSON can say. As `asdict` has it, in a tenth of its time."""
    value = _members(exchange)
    value["request"], value["response"] = _way_as_json(exchange.request), _way_as_json(exchange.response)
    return value


def _way_as_json(way: Way | None) -> dict[str, Any] | None:
    return None if way is None else {**_members(way), "changes": tuple(map(_members, way.changes))}


def _members(value: Exchange | Way | Change) -> dict[str, Any]:
    return {name: getattr(value, name) for name in value.__dataclass_fields__}


def parse_exchange(value: Mapping[str, Any]) -> Exchange:
    """Turn what `dump_exchange` wrote back. Unknown keys, of a newer version, are left out.

    Raises: KeyError, TypeError for what is none.
    """
    known = {name: value[name] for name in Exchange.__dataclass_fields__}
    response = known["response"]
    return Exchange(**known | {"request": _parse_way(known["request"]), "response": response and _parse_way(response)})


def _parse_way(value: Mapping[str, Any]) -> Way:
    before, after = _parse_headers(value["before"]), value["after"]
    return Way(
        before=before,
        after=before if after == value["before"] else _parse_headers(after) if after is not None else None,
        changes=tuple(Change(**{name: change[name] for name in Change.__dataclass_fields__}) for change in value["changes"]),
    )


def _parse_headers(pairs: Any) -> Headers:
    return tuple([(name, value) for name, value in pairs])
