"""`sandbox up` on Docker against `docker compose up --detach --wait` on the same file, and how long each container takes."""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Comparison
from benchmarks.startup import SANDBOX
from sandbox.engines.docker.discovery.find import find_docker
from sandbox.errors import PreconditionError
from sandbox.workspace import HOME

PORTS = {"SANDBOX_INGRESS_PORT": "21700", "SANDBOX_BYPASS_PORT": "21701", "SANDBOX_CONSOLE_PORT": "21702"}
TAG = "by-hand"


@dataclass
class ByCompose:
    """The stack by `docker compose`, its image built before. Collects when each container was started and found healthy."""

    moments: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def run(self) -> float:
        """Seconds until compose says that all are healthy."""
        since = time.time()
        started = time.monotonic()
        self._compose("up", "--detach", "--wait")
        elapsed_s = time.monotonic() - started
        for name, times in self._read(since):
            self.moments.setdefault(name, []).append(times)
        self._compose("down", "--volumes")
        return elapsed_s

    def build(self) -> None:
        """Make the image."""
        self._compose("build")

    def _compose(self, *words: str) -> bytes:
        command = ["docker", "compose", "--project-name", "sandbox-bench", "--file", str(HOME / "compose.yaml"), *words]
        environment = {**os.environ, **PORTS, "SANDBOX_SOURCES": TAG}
        return subprocess.run(command, env=environment, check=True, capture_output=True).stdout

    def _read(self, since: float) -> Iterator[tuple[str, tuple[float, float]]]:
        ids = self._compose("ps", "--quiet").decode().split()
        for item in json.loads(subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True).stdout):
            healthy = next(check["End"] for check in item["State"]["Health"]["Log"] if check["ExitCode"] == 0)
            name = item["Config"]["Labels"]["com.docker.compose.service"]
            yield name, (_seconds(item["State"]["StartedAt"]) - since, _seconds(healthy) - since)

    def table(self) -> str:
        """The medians of what was collected, a line a container."""
        lines = []
        for name, times in self.moments.items():
            started, healthy = median(pair[0] for pair in times), median(pair[1] for pair in times)
            lines.append(f"  {name:<10} started after {started:5.2f} s, healthy after {healthy:5.2f} s")
        return "\n".join(lines)


def _seconds(text: str) -> float:
    zone = "+00:00" if text.endswith("Z") else text[-6:]
    return datetime.fromisoformat(text[:26].rstrip("Z") + zone).timestamp()


class OnDocker:
    """`sandbox up`, warm: images and keys exist, envoy.yaml has been validated."""

    def __init__(self, folder: Path) -> None:
        self._environment: Mapping[str, Any] = {**os.environ, "SANDBOX_STATE_DIR": str(folder), "SANDBOX_ENGINE": "docker"}

    def run(self) -> float:
        """Seconds from the start of the command to its end, which is after a verified token was seen."""
        started = time.monotonic()
        self._sandbox("up")
        elapsed_s = time.monotonic() - started
        self._sandbox("down")
        return elapsed_s

    def forget(self) -> None:
        """Remove what outlives a `down`."""
        self._sandbox("down", "--volumes")

    def _sandbox(self, *words: str) -> None:
        subprocess.run([*SANDBOX, *words], env=self._environment, check=True, capture_output=True)


def compare_docker(rounds: int) -> tuple[Comparison, str]:
    """Interleaved rounds of both ways, one of each not counted; and the table of containers."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-bench-"))
    hand, ours = ByCompose(), OnDocker(folder)
    hand.build()
    try:
        row = Comparison.measure("sandbox up (docker)", "compose up --wait", ours.run, hand.run, rounds=rounds, limit=1.1)
        return row, hand.table()
    finally:
        ours.forget()
        shutil.rmtree(folder, ignore_errors=True)


def why_no_engine() -> str:
    """Why there is no engine to measure on; empty when there is one."""
    try:
        return "" if find_docker() else "Docker is not installed"
    except PreconditionError as error:
        return error.message
