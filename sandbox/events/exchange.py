"""What `curl` got, and where the time went."""

from dataclasses import dataclass

from sandbox.observe.exchange import Exchange
from sandbox.observe.headers import Headers
from sandbox.observe.token import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer as the client got it, and what became of the request on its way.

    `filtered` is false on the way around the filter. `exchange` is None where nobody saw it, for the reason in `unseen_because`.
    `elapsed_s` is until the head was there.
    """

    method: str
    url: str
    http_version: str
    status: int
    reason: str
    request_headers: Headers
    headers: Headers
    elapsed_s: float
    exchange: Exchange | None
    unseen_because: str | None
    filtered: bool
    token: Token | None
    no_token_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of the last answer's body, as it came."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of an answer went, body included: `envoy_s` in Envoy and the filter, `client_s` all outside of Envoy.

    The parts are None where Envoy's log did not say in time, `upstream_s` also where the upstream was not asked. `details` are
    Envoy's %RESPONSE_CODE_DETAILS%.
    """

    total_s: float
    client_s: float | None
    envoy_s: float | None
    upstream_s: float | None
    details: str | None
