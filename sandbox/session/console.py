"""The console as the verbs ask it for facts: one time-out, longer than those that it has itself, and None when it is silent."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sandbox.errors import StackError
from sandbox.stack import CONSOLE_PORT, Endpoints
from sandbox.workspace import State

if TYPE_CHECKING:
    import httpx2

TIMEOUT_S = 3.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsoleStatus:
    """What `/api/status` says. `envoy` as it stands there; `fetches` counts the filter's fetches by outcome."""

    envoy: Mapping[str, Any]
    ready: Mapping[str, bool]
    filter_version: str | None
    token_age_s: float | None
    fetches: Mapping[str, int]


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
        token_age_s=answer["token"]["age_s"],
        fetches=answer["token"]["fetches"],
    )


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
