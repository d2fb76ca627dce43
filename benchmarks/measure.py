"""Two ways to do a thing, measured in turn in one run, so that a noisy machine is noisy for both."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians in seconds, and the ratio of ours to the other that is aimed at, if a ratio is."""

    ours: str
    other: str
    ours_s: float
    other_s: float
    limit: float | None = None
    rounds: int

    @classmethod
    def measure(
        cls, ours: str, other: str, run_ours: Callable[[], float], run_other: Callable[[], float], *, rounds: int, limit: float
    ) -> "Comparison":
        """Run both in turn, first once without counting."""
        run_ours(), run_other()
        pairs = [(run_ours(), run_other()) for _ in range(rounds)]
        return cls(
            ours=ours,
            other=other,
            ours_s=median(pair[0] for pair in pairs),
            other_s=median(pair[1] for pair in pairs),
            limit=limit,
            rounds=rounds,
        )

    @property
    def ratio(self) -> float:
        """Ours to the other."""
        return self.ours_s / self.other_s


@dataclass(frozen=True, slots=True, kw_only=True)
class Pairs:
    """Ours and the other, measured one after the other again and again, and the ratio that is aimed at, or more.

    A ratio above 1 is in our favour: of rates (`/s`) ours to the other's, of costs (`µs`) the other's to ours.
    """

    ours: str
    other: str
    unit: Literal["/s", "µs"]
    pairs: tuple[tuple[float, float], ...]
    limit: float

    @property
    def medians(self) -> tuple[float, float]:
        """Of ours, and of the other."""
        ours, other = zip(*self.pairs, strict=True)
        return median(ours), median(other)

    @property
    def ratio(self) -> float:
        """Of the medians."""
        return self._ratio(*self.medians)

    @property
    def quartiles(self) -> tuple[float, float]:
        """Between which half of the single pairs' ratios are."""
        ratios = [self._ratio(*pair) for pair in self.pairs]
        if len(ratios) < 2:
            return ratios[0], ratios[0]
        low, _, high = quantiles(ratios, n=4, method="inclusive")
        return low, high

    def _ratio(self, ours: float, other: float) -> float:
        return ours / other if self.unit == "/s" else other / ours
