"""Somebody who watches, as a process of its own, and what it got when."""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import psutil

from benchmarks.loaded import LoadedStack
from benchmarks.startup import SANDBOX
from sandbox.workspace import HOME

WATCH = (*SANDBOX, "watch", "--output=json")
ATTACH_TIMEOUT_S = 20.0
SILENT_S = 1.0
SILENT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """An exchange: when it was received, when the console saw its request, and when that was sent. Seconds since the epoch."""

    received_s: float
    time_s: float
    sent_s: float


class Viewer:
    """Reads what one of them prints."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self.process = psutil.Process(process.pid)
        self.attached_s = 0.0
        self._stream = process.stdout
        self._news = threading.Condition()
        self._lines: list[tuple[float, bytes]] = []
        self._seen: list[Seen] = []
        self.dropped: Counter[str] = Counter()
        self.shares: list[int] = []
        self._last_s = time.monotonic()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        assert self._stream
        for line in self._stream:
            received_s = time.time()
            if line.endswith(b"\n"):  # the last one is cut when the process is ended
                self._take(line, received_s)

    def join(self) -> None:
        """Wait until all is read that the process printed, which has been ended."""
        self._thread.join()

    def _take(self, line: bytes, received_s: float) -> None:
        with self._news:
            if not line.startswith(b'{"event"'):
                self._lines.append((received_s, line))  # to be looked into later: it runs on the same processors
                self._last_s = time.monotonic()
                self._news.notify_all()
                return
            record = json.loads(line)
            match record["event"]:
                case "dropped":
                    self.dropped[record["because"]] += record["count"]
                    self._last_s = time.monotonic()
                case "tap" if record["attached"]:
                    self.attached_s = self.attached_s or received_s
                    if [record["share"]] != self.shares[-1:]:
                        self.shares.append(record["share"])
            self._news.notify_all()

    @property
    def seen(self) -> list[Seen]:
        """All so far of which is known when it was sent."""
        with self._news:
            return list(self._look())

    def _look(self) -> list[Seen]:
        lines, self._lines = self._lines, []
        for received_s, line in lines:
            record = json.loads(line)
            sent = next((value for name, value in record["request"]["before"] if name == "x-sent-ns"), None)
            if sent:
                self._seen.append(Seen(received_s=received_s, time_s=record["time_s"], sent_s=int(sent) / 1e9))
        return self._seen

    def until(self, state: Callable[[], Any], timeout_s: float) -> bool:
        """Ask after all that comes; whether it came."""
        with self._news:
            return bool(self._news.wait_for(state, timeout_s))

    def await_rest(self, expected: int) -> None:
        """Wait until so many exchanges were seen or told to be missing, or nothing comes any more."""
        deadline = time.monotonic() + SILENT_TIMEOUT_S
        while time.monotonic() - self._last_s < SILENT_S and time.monotonic() < deadline:
            if self.until(lambda: len(self._seen) + len(self._lines) + self.dropped.total() >= expected, 0.1):
                return

    def await_recent(self, since_s: float, *, lag_s: float, timeout_s: float) -> float | None:
        """Wait for something received after `since_s` no later than `lag_s` after it was sent; returns when, None for never."""

        def recent() -> Iterator[float]:
            return (seen.received_s for seen in reversed(self._look()) if since_s < seen.sent_s > seen.received_s - lag_s)

        return next(recent(), None) if self.until(lambda: any(recent()), timeout_s) else None


@contextmanager
def watching(stack: LoadedStack) -> Iterator[Viewer]:
    """A viewer to whom everything from now on is shown."""
    environment = {**stack.environment, "PYTHONPATH": str(HOME)}
    with subprocess.Popen(WATCH, env=environment, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL) as process:
        viewer = Viewer(process)
        try:
            if not viewer.until(lambda: viewer.attached_s, ATTACH_TIMEOUT_S):
                raise RuntimeError("the viewer was not attached")
            yield viewer
        finally:
            process.kill()
            viewer.join()
