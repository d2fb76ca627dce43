"""How many of the requests are looked at.

Envoy writes what its taps see on its main thread, and what that can't write in time piles up in memory: at full load a gigabyte
in seconds. So no more is asked of it than it can do.
"""

import math

FACTOR = 16
LEVELS = 3
RATE = 500.0
"""Exchanges a second that are looked at in the long run: so many take a fifth of a core, here and in Envoy each."""
BURST = 1500.0
"""As many more at once do no harm."""
MAX_BEHIND = 1500
"""How many of those that are looked at have come and are not seen yet. Envoy writes some thousand a second, if it gets to."""
CALM_S = 2.0
"""How long it has to be calm before more is looked at again."""
FLOOD_RATE = 6000.0
"""More requests a second than Envoy's main thread can begin to write."""
FLOOD_CALM_S = 20.0
"""How long it has to be calm after them."""


class Sampling:
    """Looks at all requests, at every 16th, or at every 256th, by the last digits of the x-request-id, which are random.

    `now_s` is on the monotonic clock.
    """

    def __init__(self) -> None:
        self._level = 0
        self._budget = BURST
        self._lively_s = -math.inf
        self._flooded_s = -math.inf

    @property
    def share(self) -> int:
        """One of how many requests is looked at."""
        return int(FACTOR**self._level)

    @property
    def id_suffix(self) -> str:
        """How the x-request-id of those ends."""
        return "0" * self._level

    def choose(self, came: int, *, passed_s: float, now_s: float) -> None:
        """Choose the share for as many requests in that time."""
        self._level = int(now_s - self._flooded_s < FLOOD_CALM_S)
        while self._level < LEVELS - 1 and came / self.share > RATE * passed_s:
            self._level += 1
        self._budget, self._lively_s = BURST, now_s

    def is_wrong(self, came: int, behind: float, *, passed_s: float, now_s: float) -> bool:
        """Whether to choose anew, for as many requests in that time, and as many that should have been seen by now."""
        self._budget = min(self._budget + RATE * passed_s, BURST) - came / self.share
        too_many = self._budget < 0 or behind > MAX_BEHIND
        if came > FLOOD_RATE * passed_s and (too_many or self._level > 0):  # and not a burst that does no harm
            self._flooded_s = now_s
        if came * FACTOR / self.share > RATE * passed_s / 2 or now_s - self._flooded_s < FLOOD_CALM_S:
            self._lively_s = now_s
        return (too_many and self._level < LEVELS - 1) or (self._level > 0 and now_s - self._lively_s > CALM_S)
