"""What viewers got at full load, and what that took in memory."""

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import median, quantiles

import psutil

from benchmarks.processor import Cost
from benchmarks.sending import Sent
from benchmarks.viewer import Seen, Viewer

LOOK_EVERY_S = 0.1


class Memory:
    """The peaks of what some processes hold in memory, in MB."""

    def __init__(self, processes: dict[str, psutil.Process]) -> None:
        self._processes = processes
        self._ended = threading.Event()
        self.first = self._look()
        self.peak = dict(self.first)

    def _look(self) -> dict[str, float]:
        return {name: process.memory_info().rss / 1e6 for name, process in self._processes.items()}

    def _follow(self) -> None:
        with contextlib.suppress(psutil.Error):
            while not self._ended.wait(LOOK_EVERY_S):
                now = self._look()
                self.peak = {name: max(now[name], peak) for name, peak in self.peak.items()}

    @contextmanager
    def following(self) -> Iterator[None]:
        """Look again and again meanwhile."""
        thread = threading.Thread(target=self._follow)
        thread.start()
        try:
            yield
        finally:
            self._ended.set()
            thread.join()


@dataclass
class View:
    """What viewers got at full load, all rounds together."""

    seen: list[Seen] = field(default_factory=list)
    dropped: int = 0
    sent: int = 0
    shares: set[int] = field(default_factory=set)
    accounted: list[float] = field(default_factory=list)
    reasons: Counter[str] = field(default_factory=Counter)
    memory: dict[str, float] = field(default_factory=dict)
    watched: list[Cost] = field(default_factory=list)
    unwatched: list[Cost] = field(default_factory=list)

    def add(self, viewer: Viewer, sent: Sent, memory: Memory) -> None:
        """Another round."""
        came = sent.requests - sent.until(viewer.attached_s)
        seen, dropped = viewer.seen, viewer.dropped.total()
        self.seen += seen
        self.dropped += dropped
        self.sent += came
        self.shares |= set(viewer.shares)
        self.accounted.append((len(seen) + dropped) / came)
        self.reasons += viewer.dropped
        self.memory = {name: max(self.memory.get(name, 0.0), peak) for name, peak in memory.peak.items()}

    def describe(self) -> Iterator[str]:
        """Lines to print."""
        yield f"  seen {len(self.seen)}, dropped {self.dropped}, sent {self.sent}; one of {sorted(self.shares)} was looked at"
        yield from (f"    dropped {count}: {reason}" for reason, count in self.reasons.items())
        yield (
            f"  (seen + dropped) / sent, by round: median {median(self.accounted):.3f}, "
            f"{min(self.accounted):.3f} to {max(self.accounted):.3f}"
        )
        yield _describe_lag("lag from the console's time", [seen.received_s - seen.time_s for seen in self.seen])
        yield _describe_lag("lag from being sent", [seen.received_s - seen.sent_s for seen in self.seen])
        yield "  processor time for a request: " + ", ".join(_describe_costs(self.unwatched, self.watched))
        yield "  peak resident memory: " + ", ".join(f"{name} {peak:.0f} MB" for name, peak in self.memory.items())


def _describe_costs(unwatched: list[Cost], watched: list[Cost]) -> Iterator[str]:
    """Medians by process, without and with somebody who watches."""
    for name in watched[0].of_us:
        before_us, after_us = (median(cost.of_us.get(name, 0.0) for cost in costs) for costs in (unwatched, watched))
        if max(before_us, after_us) >= 0.5:
            yield f"{name} {before_us:.0f} → {after_us:.0f} µs"


def _describe_lag(what: str, lags_s: list[float]) -> str:
    if len(lags_s) < 2:
        return f"  {what}: nothing was seen"
    hundredths = quantiles(lags_s, n=100)
    return f"  {what}: p50 {hundredths[49] * 1e3:.0f} ms, p99 {hundredths[98] * 1e3:.0f} ms, max {max(lags_s) * 1e3:.0f} ms"
