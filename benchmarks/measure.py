"""Two ways to do a thing, measured in turn in one run, so that a noisy machine is noisy for both."""

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """Medians in seconds, and the ratio of ours to the other that is aimed at."""

    ours: str
    other: str
    ours_s: float
    other_s: float
    limit: float
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
class Rates:
    """Medians per second, and the ratio of ours to the other that is aimed at, or more."""

    ours: str
    other: str
    ours_per_s: float
    other_per_s: float
    limit: float
    rounds: int

    @property
    def ratio(self) -> float:
        """Ours to the other."""
        return self.ours_per_s / self.other_per_s
