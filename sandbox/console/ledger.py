"""What an attachment owes those who watch, by what Envoy counts and what was seen of it. No I/O, and no clock."""

from collections import deque
from dataclasses import dataclass

from sandbox.console.sampling import Sampling

CHOKED_BY = 80
"""More requests than these seen a moment ago, and no answer: Envoy has too much to show. With fewer it compiles a filter."""
RECENT_LOOKS = 4
"""How many looks at Envoy's counts are that moment: what is seen late in one may have come in those before."""
GIVE_UP_S = 20.0
"""Envoy itself gives an upstream 15 s, if the route does not say otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What follows from one look.

    So many more were `dropped`; what began before `over_before_s` will have no answer; `is_wrong`: to be attached with another
    share. Seconds on the monotonic clock.
    """

    dropped: int
    over_before_s: float
    is_wrong: bool


class Ledger:
    """Of one attachment, which begins when Envoy has counted `first` requests; `begun` are those seen since, answered or not.

    At any time, begun + dropped is `accounted` - `first`; what Envoy counted above that is for the next attachment to tell. What
    is seen late, after it was told as dropped, makes the next `dropped` smaller.
    """

    def __init__(self, sampling: Sampling, *, first: int, now_s: float) -> None:
        self._sampling = sampling
        self._first = first
        self._counted = first
        self._dropped = 0
        self._looked_s = now_s
        self._idle_s = 0.0
        self._recent = deque([0], maxlen=RECENT_LOOKS)

    def is_choked(self, begun: int) -> bool:
        """Whether an Envoy that does not answer has too much to show."""
        return begun - self._recent[0] > CHOKED_BY

    def look(self, *, counted: int, active: int, begun: int, asked_s: float, now_s: float) -> Verdict:
        """Enter Envoy's counts, of all requests and of those without an answer, which it was asked for at `asked_s`."""
        self._recent.append(begun)
        # Idle, what began before the look before this one is over, whether its end was seen or not.
        over_before_s = asked_s - GIVE_UP_S if active else self._idle_s
        self._idle_s = 0.0 if active else asked_s
        share, came = self._sampling.share, counted - self._counted
        behind = (counted - self._first) / share - begun
        is_wrong = self._sampling.is_wrong(came, behind, passed_s=now_s - self._looked_s, now_s=now_s)
        # All are looked at: what was not seen yet still comes, as long as we are attached.
        dropped = max(counted - self.accounted(begun), 0) if share > 1 or is_wrong else 0
        self._dropped += dropped
        self._counted, self._looked_s = counted, now_s
        return Verdict(dropped=dropped, over_before_s=over_before_s, is_wrong=is_wrong)

    def accounted(self, begun: int) -> int:
        """Up to which of Envoy's requests each was seen or told as dropped."""
        return self._first + begun + self._dropped
