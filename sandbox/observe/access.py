"""Envoy's access log, as envoy.yaml has it: what it knows of an exchange that the taps don't."""

import json
from dataclasses import dataclass, replace

from sandbox.observe.exchange import REQUEST_ID, Exchange, value_of

_TRAPPED = "wasm_fail_stream"
_NO_FILTER = "NFCF"


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """One request that is done, bodies included.

    `details` is %RESPONSE_CODE_DETAILS% and `flags` %RESPONSE_FLAGS%, both `""` for none. `upstream_us` is the upstream's part
    of `total_us`, from the request's last byte to the answer's first; None where the upstream was not asked.
    """

    id: str
    status: int | None
    details: str
    flags: str
    total_us: int | None
    upstream_us: int | None


def parse_access(line: str) -> Access | None:
    """Read one line of Envoy's log; None for any other line. Never raises."""
    if not line.startswith('{"access"'):
        return None
    try:
        value = json.loads(line)
        return Access(
            id=_text(value.get("id")),
            status=_number(value.get("status")),
            details=_text(value.get("details")),
            flags=_text(value.get("flags")),
            total_us=_number(value.get("total_us")),
            upstream_us=_number(value.get("upstream_us")),
        )
    except (ValueError, AttributeError, RecursionError):
        return None


def _text(value: object) -> str:
    return value if isinstance(value, str) and value != "-" else ""


def _number(value: object) -> int | None:
    return value if type(value) is int else None


def request_ids(exchange: Exchange) -> tuple[str, ...]:
    """What Envoy's log may call it: the x-request-id before the filter, and behind it, if the filter changed that."""
    behind = value_of(exchange.request.after or (), REQUEST_ID)
    return (exchange.id,) if behind is None or behind == exchange.id else (exchange.id, behind)


def needs_log(exchange: Exchange) -> bool:
    """Whether Envoy's log knows more: who answered, if the filter crashed, or why Envoy itself answered."""
    return exchange.details is None and (exchange.trapped is None or exchange.answered_by in {None, "envoy"})


def settle(exchange: Exchange, access: Access) -> Exchange:
    """Add to `exchange` what Envoy's log says of it: who answered where the taps can't tell, and why."""
    trapped = access.details.startswith(_TRAPPED)
    answered_by = exchange.answered_by
    if trapped or _NO_FILTER in access.flags:
        answered_by = "envoy"
    elif answered_by is None and access.status:
        answered_by = "filter"
    return replace(
        exchange,
        status=exchange.status if exchange.status is not None else access.status or None,
        answered_by=answered_by,
        trapped=trapped,
        details=access.details or access.flags,
    )
