"""Stacks to put under load, variants of this project side by side, and the load."""

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmarks.startup import SANDBOX
from sandbox.envoy.bootstrap import dump_yaml, load_yaml
from sandbox.workspace import HOME, Project

TOOL = Path(__file__).parent / "load" / "main.go"
GO = Path(sys.executable).with_name("go")
CONNECTIONS = 32
MAX_LOAD_S = 30.0
DIRECT = "/direct"
"""Answered by Envoy itself: no upstream limits how many requests there are."""

QUIET_SHARE = 0.1
QUIET_S = 0.3
QUIET_TIMEOUT_S = 30.0


class LoadedStack:
    """One running project on ports of its own, by the command line."""

    def __init__(self, folder: Path, change: Callable[[list[Any]], None]) -> None:
        self._folder = folder
        project = Project(root=folder / "project")
        shutil.copytree(HOME / "envoy", project.root / "envoy")
        bootstrap = load_yaml(project.envoy_yaml.read_text(encoding="utf-8"), "envoy.yaml")
        manager = bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
        direct = {"match": {"path": DIRECT}, "direct_response": {"status": 200, "body": {"inline_string": "here\n"}}}
        manager["route_config"]["virtual_hosts"][0]["routes"].insert(0, direct)
        change(manager["http_filters"])
        project.envoy_yaml.write_bytes(dump_yaml(bootstrap))
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")},
            "SANDBOX_PROJECT": str(project.root),
            "SANDBOX_STATE_DIR": str(folder / "state"),
            "SANDBOX_ENGINE": "local",
        }

    def start(self) -> None:
        """Start it, and learn where it is."""
        flags = [f"--{name}-port={port}" for name, port in zip(("ingress", "bypass", "console"), _free_ports(3), strict=True)]
        self._sandbox("up", *flags)
        status = json.loads(self._sandbox("status", "--output=json"))
        self.address = status["urls"]["ingress"].removeprefix("http://")
        self.processes = {item["name"]: psutil.Process(item["pid"]) for item in status["services"]}

    def end(self) -> None:
        """End it, whatever state it is in."""
        self._sandbox("down", "--volumes")

    def become_quiet(self) -> None:
        """Wait until it has nothing to do any more."""
        supervisor = self.processes["envoy"].parent()
        everybody = [*self.processes.values(), *([supervisor] if supervisor else [])]
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while time.monotonic() < deadline:
            before_s = sum(map(_cpu_s, everybody))
            time.sleep(QUIET_S)
            if sum(map(_cpu_s, everybody)) - before_s < QUIET_SHARE * QUIET_S:
                return

    def _sandbox(self, *words: str) -> bytes:
        return subprocess.run([*SANDBOX, *words], env=self.environment, cwd=self._folder, check=True, capture_output=True).stdout


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _free_ports(count: int) -> list[int]:
    """Ports from below the range out of which the system hands them out, also to the load's connections."""
    found: list[int] = []
    while len(found) < count:
        number = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            found += [number] if number not in found else []
    return found


def keep_taps(_: list[Any]) -> None:
    """As it is shipped."""


def leave_out_taps(filters: list[Any]) -> None:
    """The Wasm filter alone."""
    filters[:] = [item for item in filters if not item["name"].startswith("tap.")]


@contextmanager
def running_stacks(**changes: Callable[[list[Any]], None]) -> Iterator[dict[str, LoadedStack]]:
    """Variants of this project, each running, and nothing left of them afterwards."""
    with tempfile.TemporaryDirectory(prefix="sandbox-bench-") as folder, contextlib.ExitStack() as ends:
        stacks: dict[str, LoadedStack] = {}
        for name, change in changes.items():
            stacks[name] = LoadedStack(Path(folder) / name, change)
            ends.callback(stacks[name].end)
            stacks[name].start()
        yield stacks


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
        """Wait for its end, or end it."""
        if now:
            self._process.terminate()
        out, _ = self._process.communicate(timeout=MAX_LOAD_S * 2)
        if self._process.returncode:
            raise RuntimeError(f"the load ended with {self._process.returncode}")
        value = json.loads(out)
        return Sent(**{**value, "marks": [(time_s, int(count)) for time_s, count in value["marks"]]})


class Load:
    """The program that sends requests, built once."""

    def __init__(self, folder: Path) -> None:
        self._program = folder / "load"
        environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
        subprocess.run([GO, "build", "-o", self._program, TOOL], env=environment, cwd=folder, check=True, capture_output=True)

    @contextmanager
    def sending(self, address: str, path: str, seconds: float = MAX_LOAD_S) -> Iterator[Sending]:
        """Send as fast as it goes, for so long at most."""
        words = [f"-address={address}", f"-path={path}", f"-connections={CONNECTIONS}", f"-seconds={seconds}"]
        with subprocess.Popen([self._program, *words], stdout=subprocess.PIPE) as process:
            try:
                yield Sending(process)
            finally:
                process.kill()
