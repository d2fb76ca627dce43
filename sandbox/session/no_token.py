"""Why an answer came without a token."""

from typing import TYPE_CHECKING

from sandbox.observe.exchange import Exchange
from sandbox.session.console import ConsoleStatus, read_status
from sandbox.session.expected import Expected
from sandbox.stack import Endpoints

if TYPE_CHECKING:
    import httpx2


def why_no_token(
    client: "httpx2.Client", endpoints: Endpoints, expected: Expected, exchange: Exchange | None, *, marked: bool
) -> str:
    """The reason, as a sentence. `marked`: the filter's other header is there."""
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
    return f"when this passed the filter had no good token. {_fetches(status)}"


def _fetches(status: ConsoleStatus) -> str:
    failed = ", ".join(f"{name} {count}" for name, count in status.fetches.items() if count and name != "success")
    if not failed and not status.fetches.get("success"):
        return "No fetch has ended yet; one is begun at once and then on each tick"
    if status.token_age_s is not None:
        return f"It has one now, {status.token_age_s:.0f} s old" + (f"; fetches that failed: {failed}" if failed else "")
    return f"Fetching one failed ({failed}); it tries again with growing pauses, at the latest after a tick"
