"""Exchanges for tests."""

from typing import Any

from sandbox.observe.exchange import Exchange, make_way
from sandbox.observe.headers import Change, Headers

REQUEST: Headers = ((":method", "GET"), (":path", "/a"), ("x-team", "red"))
RESPONSE: Headers = ((":status", "200"), ("server", "a"))


def exchange(number: int = 0, /, **fields: Any) -> Exchange:
    """One whose filter added x-auth to the response."""
    values: dict[str, Any] = {
        "id": f"id-{number}",
        "time_s": 1000.0 + number,
        "method": "GET",
        "path": "/a",
        "status": 200,
        "duration_ms": 1.25,
        "request": make_way(REQUEST, REQUEST),
        "response": make_way(RESPONSE, (*RESPONSE, ("x-auth", "Bearer eyJ…"))),
        "answered_by": "upstream",
        "trapped": False,
    }
    return Exchange(**values | fields)


def apply_changes(before: Headers, changes: tuple[Change, ...]) -> Headers:
    """What `changes` make of `before`: `diff_headers` backwards."""
    touched = {change.before_index for change in changes}
    put = {change.after_index: (change.name, change.after or "") for change in changes if change.after_index is not None}
    rest = iter([pair for place, pair in enumerate(before) if place not in touched])
    length = len(before) + sum((change.after_index is not None) - (change.before_index is not None) for change in changes)
    return tuple(put[place] if place in put else next(rest) for place in range(length))
