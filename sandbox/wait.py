"""Deadlines on the monotonic clock: a laptop that slept, or a clock that was set, declares nothing dead."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point in time `timeout_s` from its creation; what remains is handed down to whatever waits."""

    timeout_s: float
    started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since it was set."""
        return time.monotonic() - self.started_s

    @property
    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.timeout_s - self.elapsed_s)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.elapsed_s >= self.timeout_s
