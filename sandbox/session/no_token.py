"""Why an answer came without a token."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from sandbox.observe.exchange import Exchange
from sandbox.session.console import ConsoleStatus, read_status
from sandbox.session.expected import Expected
from sandbox.stack import Endpoints

if TYPE_CHECKING:
    import httpx2


def why_no_token(
    client: "httpx2.Client", endpoints: Endpoints, expected: Expected, exchange: Exchange | None, *, marked: bool
) -> str | None:
    """The reason, as a sentence; None where nobody expects one. `marked`: the filter's other header is there."""
    if exchange and exchange.trapped:
        return "the filter has crashed, on this request or on that worker before: sandbox logs --filter says where"
    if exchange and exchange.answered_by == "filter":
        return "the filter answered by itself"
    status = read_status(client, endpoints)
    if status is None:
        return "the console does not answer, so nobody can say why"
    if status.filter_version != expected.version:
        live = f"filter {status.filter_version[:12]}" if status.filter_version else "no filter that it tells of"
        return f"Envoy is {status.envoy.get('state')} and serves {live}, not {expected.sha256[:12]}"
    if not marked:
        return "the filter did not see this answer: Envoy made it itself"
    fetches = _own_fetches(status)
    # The token filter counts them from its start, and another one does not; but what an earlier one counted is still there.
    has_tokens = expected.is_shipped or (any(fetches.values()) if status.fetches_before else fetches)
    return f"when this passed the filter had no good token. {_describe(status, fetches)}" if has_tokens else None


def _own_fetches(status: ConsoleStatus) -> Mapping[str, int]:
    """Those of the filter that is live."""
    own = {name: count - status.fetches_before.get(name, 0) for name, count in status.fetches.items()}
    return status.fetches if any(count < 0 for count in own.values()) else own  # an Envoy that was started again counts anew


def _describe(status: ConsoleStatus, fetches: Mapping[str, int]) -> str:
    failed = ", ".join(f"{name} {count}" for name, count in fetches.items() if count and name != "success")
    if not failed and not fetches.get("success"):
        return "No fetch has ended yet; one is begun at once and then on each tick"
    if fetches.get("success") and status.token_age_s is not None:
        return f"It has one now, {status.token_age_s:.0f} s old" + (f"; fetches that failed: {failed}" if failed else "")
    return f"Fetching one failed ({failed}); it tries again with growing pauses, at the latest after a tick"
