"""The console as the verbs ask it for facts: one time-out, longer than those that it has itself, and None when it is silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.engines.base import StackState
from sandbox.errors import StackError
from sandbox.session.expected import Expected, parse_expected, parse_wanted
from sandbox.stack import CONSOLE_PORT, Endpoints
from sandbox.workspace import State

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleStatus:
    """What `/api/status` says. `envoy` as it stands there; `fetches` counts the filter's fetches by outcome.

    `wanted` is the filter that Envoy was given last and took; None where the console knows of none. `fetches_before` were counted
    before that one went live.
    """

    envoy: Mapping[str, Any]
    ready: Mapping[str, bool]
    filter_version: str | None
    wanted: Expected | None
    token_age_s: float | None
    fetches: Mapping[str, int]
    fetches_before: Mapping[str, int]


def owner_headers(state: State) -> dict[str, str]:
    """What shows the console that the project's owner asks, who may change things and see secrets.

    Raises: StackError when the token can't be read.
    """
    try:
        return {"authorization": f"Bearer {state.console_token.read_text(encoding='utf-8').strip()}"}
    except OSError as error:
        raise StackError(f"the project's token can't be read: {error}", hint="sandbox restart") from error


def read_status(client: "httpx2.Client", endpoints: Endpoints) -> ConsoleStatus | None:
    """The stack's state as the console sees it."""
    answer = _ask(client, endpoints, "/api/status")
    if answer is None:
        return None
    return ConsoleStatus(
        envoy=answer["envoy"],
        ready={name: bool(service["ready"]) for name, service in answer["services"].items()},
        filter_version=answer["filter"]["version"],
        wanted=parse_wanted(answer["filter"].get("wanted")),
        token_age_s=answer["token"]["age_s"],
        fetches=answer["token"]["fetches"],
        fetches_before=(answer["filter"].get("wanted") or {}).get("fetches_before", {}),
    )


def find_expected(found: StackState, status: ConsoleStatus | None) -> Expected | None:
    """The filter that is meant to be live: by the console, which swaps it, else the one that the stack was started with."""
    if status and status.wanted:
        return status.wanted
    return parse_expected(found.labels) if found.labels else None


def read_jwks(client: "httpx2.Client", endpoints: Endpoints) -> Mapping[str, Any] | None:
    """The JWT API's public keys, which the console passes on."""
    return _ask(client, endpoints, "/api/jwks")


def _ask(client: "httpx2.Client", endpoints: Endpoints, path: str) -> dict[str, Any] | None:
    import httpx2

    url = endpoints.host[CONSOLE_PORT.name].url + path
    try:
        answer = client.get(url, timeout=TIMEOUT_S).raise_for_status().json()
    except (httpx2.HTTPError, ValueError):
        return None
    return answer if isinstance(answer, dict) else None
