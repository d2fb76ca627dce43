"""How much of the processors was used, by whom: what is measured, and everything else that runs on this machine meanwhile.

Wall time and requests a second say little on a machine that others use, too. Processor time says more.
"""

import contextlib
import os
import resource
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import psutil

from benchmarks.sending import Sent


def cpu_s(process: psutil.Process) -> float:
    """Seconds that its threads have run; to the microsecond on Linux, else to the hundredth."""
    threads = Path(f"/proc/{process.pid}/task")
    with contextlib.suppress(OSError, ValueError):
        # Source: Linux, Documentation/scheduler/sched-stats.rst: the first is the time on a processor in nanoseconds.
        return sum(int((thread / "schedstat").read_text().split()[0]) for thread in threads.iterdir()) / 1e9
    times = process.cpu_times()
    return float(times.user + times.system)


LOAD, READING = "load", "reading"


class Usage:
    """Processor time of a while, in seconds.

    `of` is that of each process by name; `LOAD` is that of the children that ended meanwhile, and so of the load, `READING` that
    of this process, which reads what a viewer prints.
    """

    def __init__(self, processes: Mapping[str, psutil.Process]) -> None:
        self._processes = processes
        self._before = self._look()

    def _look(self) -> dict[str, float]:
        look = {name: cpu_s(process) for name, process in self._processes.items()}
        children = resource.getrusage(resource.RUSAGE_CHILDREN)
        look[LOAD], look[READING] = children.ru_utime + children.ru_stime, time.process_time()
        return look

    def end(self) -> None:
        """The while is over."""
        after = self._look()
        self.of = {name: after[name] - before_s for name, before_s in self._before.items()}

    @property
    def total_s(self) -> float:
        """Of all of them."""
        return sum(self.of.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one request took of the processors, in microseconds, by process."""

    of_us: Mapping[str, float]

    @classmethod
    def find(cls, usage: Usage, requests: int, sent: Sent) -> "Cost":
        """Of `usage`, in which came `requests` of those that were sent; the load's own is for all of them."""
        return cls(of_us={name: s / (sent.requests if name == LOAD else requests) * 1e6 for name, s in usage.of.items()})

    @property
    def total_us(self) -> float:
        """Of all of them."""
        return sum(self.of_us.values())


class Others:
    """How much of this machine was used by others, while we measured."""

    def __init__(self) -> None:
        self.shares: list[float] = []

    @contextmanager
    def beside(self, usage: Usage) -> Iterator[None]:
        """Count what is used beside `usage`, and end that."""
        began_s, before_s = time.monotonic(), _busy_s()
        yield
        usage.end()
        all_s = (time.monotonic() - began_s) * (os.cpu_count() or 1)
        self.shares.append(max(_busy_s() - before_s - usage.total_s, 0.0) / all_s)

    def describe(self) -> str:
        """A line to print."""
        at_most = f"{max(self.shares):.0%} at most"
        return f"meanwhile others used {median(self.shares):.0%} of {os.cpu_count()} processors (median), {at_most}"


def _busy_s() -> float:
    """Seconds in which processors did anything, or were taken from this machine by its host."""
    times = psutil.cpu_times()
    return float(
        sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0) - getattr(times, "guest_nice", 0.0)
    )
