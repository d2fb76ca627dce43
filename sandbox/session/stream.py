"""The console's stream of exchanges, as records."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from sandbox.errors import StackError
from sandbox.events.watch import Dropped, FilterState, TapState, TokenState, Watched
from sandbox.observe.exchange import parse_exchange
from sandbox.session.console import owner_headers
from sandbox.stack import CONSOLE_PORT, Endpoints
from sandbox.workspace import State

if TYPE_CHECKING:
    import httpx2

SILENCE_S = 25.0
"""The console says something every 10 s."""
_STATES: Mapping[str, type[TapState | FilterState | TokenState | Dropped]] = {
    "tap": TapState,
    "filter": FilterState,
    "token": TokenState,
    "dropped": Dropped,
}


@contextmanager
def open_stream(
    client: "httpx2.Client",
    endpoints: Endpoints,
    state: State,
    *,
    since_s: float | None = None,
    secrets: bool = False,
    silence_s: float = SILENCE_S,
) -> Iterator[Iterator[Watched]]:
    """Watch for as long as it is open; the first record is a `TapState`. `secrets`: tokens in full, with the project's token.

    Records can be awaited for `silence_s`.

    Raises: StackError when the console does not answer or breaks off, also from the iterator.
    """
    import httpx2

    url = endpoints.host[CONSOLE_PORT.name].url + "/api/exchanges"
    query: dict[str, Any] = {} if since_s is None else {"since": since_s}
    headers: dict[str, str] = {}
    if secrets:
        query["secrets"] = True
        headers = owner_headers(state)
    try:
        with client.stream("GET", url, params=query, headers=headers, timeout=silence_s) as response:
            if response.status_code != 200:
                reason = response.read().decode(errors="replace")
                raise StackError(f"the console answered {response.status_code} for {url}: {reason}", hint="sandbox doctor")
            yield _records(response, url)
    except httpx2.HTTPError as error:
        raise _silent(url, error) from error


def _silent(url: str, error: "httpx2.HTTPError") -> StackError:
    return StackError(f"the console at {url} does not answer: {error}", hint="sandbox status")


def _records(response: "httpx2.Response", url: str) -> Iterator[Watched]:
    """Read server-sent events as the console writes them. What is not known, from a newer one, is left out."""
    import httpx2

    name = ""
    try:
        for line in response.iter_lines():
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data" and name == "exchange":
                yield parse_exchange(json.loads(value))
            elif field == "data" and name in _STATES:
                record, data = _STATES[name], json.loads(value)
                yield record(**{field: data[field] for field in record.__dataclass_fields__})
    except httpx2.HTTPError as error:
        raise _silent(url, error) from error
