"""Stacks to put under load: this project, with two things more in its envoy.yaml."""

import contextlib
import copy
import json
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.processor import cpu_s
from benchmarks.startup import SANDBOX
from sandbox.envoy.bootstrap import dump_yaml, load_yaml
from sandbox.workspace import HOME, Project

DIRECT = "/direct"
"""Answered by Envoy itself: no upstream limits how many requests there are."""

QUIET_SHARE = 0.1
QUIET_S = 0.3
QUIET_TIMEOUT_S = 30.0


class LoadedStack:
    """One running project on ports of its own, by the command line.

    Its envoy.yaml has the route `DIRECT` and, at `without_taps`, the ingress once more without the two tap filters: the same
    process, the same filter, so that the taps alone make a difference.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        project = Project(root=folder / "project")
        shutil.copytree(HOME / "envoy", project.root / "envoy")
        bootstrap = load_yaml(project.envoy_yaml.read_text(encoding="utf-8"), "envoy.yaml")
        listeners = bootstrap["static_resources"]["listeners"]
        ingress = listeners[0]["filter_chains"][0]["filters"][0]["typed_config"]
        direct = {"match": {"path": DIRECT}, "direct_response": {"status": 200, "body": {"inline_string": "here\n"}}}
        ingress["route_config"]["virtual_hosts"][0]["routes"].insert(0, direct)
        [port] = _free_ports(1)
        self.without_taps = f"127.0.0.1:{port}"
        other = copy.deepcopy(listeners[0])
        other |= {"name": "without_taps", "address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}
        manager = other["filter_chains"][0]["filters"][0]["typed_config"]
        manager["stat_prefix"] = "without_taps"  # the console looks at the ingress's own
        manager["http_filters"] = [item for item in manager["http_filters"] if not item["name"].startswith("tap.")]
        listeners.append(other)
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
        supervisor = self.processes["envoy"].parent()
        assert supervisor
        self.processes["supervisor"] = supervisor

    def end(self) -> None:
        """End it, whatever state it is in."""
        self._sandbox("down", "--volumes")

    def become_quiet(self) -> None:
        """Wait until it has nothing to do any more."""
        deadline = time.monotonic() + QUIET_TIMEOUT_S
        while time.monotonic() < deadline:
            before_s = sum(map(cpu_s, self.processes.values()))
            time.sleep(QUIET_S)
            if sum(map(cpu_s, self.processes.values())) - before_s < QUIET_SHARE * QUIET_S:
                return

    def _sandbox(self, *words: str) -> bytes:
        return subprocess.run([*SANDBOX, *words], env=self.environment, cwd=self._folder, check=True, capture_output=True).stdout


def _free_ports(count: int) -> list[int]:
    """Ports from below the range out of which the system hands them out, also to the load's connections."""
    found: list[int] = []
    while len(found) < count:
        number = random.randint(20_000, 32_000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", number))
            found += [number] if number not in found else []
    return found


@contextmanager
def running_stacks(*names: str) -> Iterator[dict[str, LoadedStack]]:
    """So many, each running, and nothing left of them afterwards."""
    with tempfile.TemporaryDirectory(prefix="sandbox-bench-") as folder, contextlib.ExitStack() as ends:
        stacks: dict[str, LoadedStack] = {}
        for name in names:
            stacks[name] = LoadedStack(Path(folder) / name)
            ends.callback(stacks[name].end)
            stacks[name].start()
        yield stacks
