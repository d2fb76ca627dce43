"""How many of the requests are looked at.

Envoy writes what its taps see on its main thread, and what that can't write in time piles up in memory: at full load a gigabyte
in seconds. So no more is asked of it than it can do.
"""

FACTOR = 16
LEVELS = 3
RATE = 500.0
"""Exchanges a second that are looked at in the long run: so many take a fifth of a core, here and in Envoy each."""
BURST = 2500.0
"""As many more at once do no harm."""
MAX_BEHIND = 1500
"""How many of those that are looked at have come and are not seen yet. Envoy writes some thousand a second, if it gets to."""
CALM_S = 2.0
"""How long it has to be calm before more is looked at again."""
FLOOD_RATE = 6000.0
FLOOD_CALM_S = 20.0
"""Requests a second of which all can't even be begun to be looked at, and how long it has to be calm after them."""


class Sampling:
    """Looks at all requests, at every 16th, or at every 256th, by the last digits of the x-request-id, which are random."""

    def __init__(self) -> None:
        self._level = 0
        self._budget = BURST
        self._calm_s = 0.0
        self._calm_needed_s = CALM_S

    @property
    def share(self) -> int:
        """One of how many requests is looked at."""
        return int(FACTOR**self._level)

    @property
    def id_suffix(self) -> str:
        """How the x-request-id of those ends."""
        return "0" * self._level

    def choose(self, came: int, passed_s: float) -> None:
        """Choose the share for as many requests in that time."""
        self._level, self._budget, self._calm_s = int(self._calm_needed_s > CALM_S), BURST, 0.0
        while self._level < LEVELS - 1 and came / self.share > RATE * passed_s:
            self._level += 1

    def is_wrong(self, came: int, behind: float, passed_s: float) -> bool:
        """Whether to choose anew, for as many requests in that time, and as many that should have been seen by now."""
        self._budget = min(self._budget + RATE * passed_s, BURST) - came / self.share
        self._calm_s = self._calm_s + passed_s if came * FACTOR / self.share < RATE * passed_s / 2 else 0.0
        if came > FLOOD_RATE * passed_s:
            self._calm_needed_s = FLOOD_CALM_S
        too_many = self._level < LEVELS - 1 and (self._budget < 0 or behind > MAX_BEHIND)
        calm = self._level > 0 and self._calm_s > self._calm_needed_s
        if calm:
            self._calm_needed_s = CALM_S
        return too_many or calm
