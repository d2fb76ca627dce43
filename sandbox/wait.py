"""Time on the monotonic clock: a laptop that slept, or a clock that was set, declares nothing dead."""

import time


class Stopwatch:
    """The time since its creation."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._started_s


class Deadline(Stopwatch):
    """A point in time `timeout_s` from its creation; what remains is handed down to whatever waits."""

    def __init__(self, timeout_s: float) -> None:
        super().__init__()
        self.timeout_s = timeout_s

    @property
    def remaining_s(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self.timeout_s - self.elapsed_s)

    @property
    def over(self) -> bool:
        """Whether the time is up."""
        return self.elapsed_s >= self.timeout_s
