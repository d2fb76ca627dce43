"""Exchanges for tests."""

from typing import Any

from sandbox.observe.exchange import Exchange, make_way
from sandbox.observe.headers import Headers

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
