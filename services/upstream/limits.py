"""The bounds of what may be asked for, in one place, and the refusal that names them."""

from dataclasses import dataclass

MAX_DELAY_S = 10
MAX_BYTES = 1_048_576
MAX_LINES = 1_000
MAX_INTERVAL_MS = 1_000
MAX_STREAM_S = 30
MAX_HEADERS = 256
MIN_STATUS, MAX_STATUS = 200, 599

PARAMETERS = {
    "code": f"whole number, {MIN_STATUS} to {MAX_STATUS}",
    "seconds": f"number, 0 to {MAX_DELAY_S}",
    "size": f"whole number, 0 to {MAX_BYTES}",
    "lines": f"whole number, 0 to {MAX_LINES}",
    "interval_ms": f"whole number, 0 to {MAX_INTERVAL_MS}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a request is refused, and what would be accepted. `status` is 400 but for a body too large and the like."""

    error: str
    limit: str
    status: int = 400


class RefusedError(Exception):
    """Carries a refusal to the error boundary in `app`."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.error)
        self.refusal = refusal
