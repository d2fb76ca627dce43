"""From a saved file to a live filter, against the sum of a bare `go build` and what a bare Envoy takes to load that module."""

import http.client
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median, quantiles

from benchmarks.measure import Comparison
from sandbox.envoy.binary import envoy_command, find_envoy
from sandbox.envoy.bootstrap import place_addresses
from sandbox.envoy.resource import FilterResource, check_module, render_filter
from sandbox.envoy.stage import Stage, first_version
from sandbox.stack import BYPASS, ENVOY_VERSION, INGRESS, JWT_API_PORT, UPSTREAM_PORT, Address
from sandbox.toolchain.find import find_go
from sandbox.workspace import HOME, RUN_ENVOY_YAML, RUN_MODULES, Project

SANDBOX = (sys.executable, "-m", "sandbox")
CONFIG_GO = "internal/config/config.go"
GREETING = "hello from wasm"
PATIENCE_S = 60.0
ASK_EVERY_S = 0.02
"""Each request costs the upstream a millisecond of the processors on which Envoy compiles; both sides pay it."""
LIMIT_OVER_S = 0.25
_BUILD = ("build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=")


def copy_project(folder: Path) -> Project:
    """A project of its own whose filter says what its source says, and not its configuration."""
    for name in ("envoy", "filter", "services"):
        shutil.copytree(HOME / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(HOME / "compose.yaml", folder)
    project = Project(root=folder)
    text = project.filter_yaml.read_text()
    project.filter_yaml.write_text(text.replace(f',\n              "marker_value": "{GREETING}"', ""))
    return project


def write_greeting(filter_folder: Path, greeting: str) -> None:
    """Save the source with another greeting, as editors do."""
    path = filter_folder / CONFIG_GO
    text = (HOME / "filter" / CONFIG_GO).read_text()
    beside = path.with_suffix(".new~")
    beside.write_text(text.replace(f'"{GREETING}"', json.dumps(greeting)))
    beside.replace(path)


def await_greeting(port: int, greeting: str) -> None:
    """Ask until it comes."""
    until = time.monotonic() + PATIENCE_S
    while time.monotonic() < until:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        try:
            connection.request("GET", "/")
            answer = connection.getresponse()
            answer.read()
            if answer.getheader("x-wasm-filter") == greeting:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(ASK_EVERY_S)
    raise SystemExit(f"{greeting!r} did not come")


class Bare:
    """Go and Envoy with its upstream, and nothing else: what the sandbox can't be quicker than."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        go = find_go()
        assert go
        self._go = go.program
        self._project = copy_project(folder / "project")
        self._out = folder / "bare.wasm"
        self._run = folder / "run"
        self._environment = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOCACHE": str(folder / "cache")}
        self._stage = Stage(self._run)
        self._ports = ports
        self.build("first")
        module = self._out.read_bytes()
        self._stage.begin(first_version(self._render(module), module, origin="", now_s=0.0), module)
        (self._run / "admin").mkdir()
        addresses = {name: Address(host="127.0.0.1", port=port) for name, port in ports.items()}
        (self._run / RUN_ENVOY_YAML).write_bytes(place_addresses(self._project.envoy_yaml.read_text(), addresses, "envoy.yaml"))
        self._log = (folder / "envoy.log").open("wb")
        command = envoy_command(find_envoy(), ENVOY_VERSION, workers=2)
        self._envoy = subprocess.Popen(command, cwd=self._run, stdout=self._log, stderr=self._log)
        upstream = (sys.executable, "-m", "services.upstream", "--port", str(ports[UPSTREAM_PORT.name]))
        self._upstream = subprocess.Popen(upstream, cwd=HOME, stdout=self._log, stderr=self._log)
        await_greeting(ports[INGRESS.name], "first")

    def _render(self, module: bytes) -> FilterResource:
        text = self._project.filter_yaml.read_text()
        return render_filter(text, check_module(module), "filter.yaml", modules_folder=RUN_MODULES)

    def build(self, greeting: str) -> float:
        """Seconds of a `go build` of a saved source."""
        write_greeting(self._project.root / "filter", greeting)
        begun = time.monotonic()
        command = (self._go, *_BUILD, "-o", self._out, ".")
        subprocess.run(command, cwd=self._project.root / "filter", env=self._environment, check=True)
        return time.monotonic() - begun

    def load(self, greeting: str) -> float:
        """Seconds from when that module is laid until Envoy answers with it."""
        module = self._out.read_bytes()
        resource = self._render(module)
        self._stage.write_module(resource.module_sha256, module)
        begun = time.monotonic()
        self._stage.lay(resource.text)
        await_greeting(self._ports[INGRESS.name], greeting)
        return time.monotonic() - begun

    def close(self) -> None:
        """End both."""
        for process in (self._envoy, self._upstream):
            process.terminate()
            process.wait()
        self._log.close()


class Following:
    """A stack with `sandbox dev`."""

    def __init__(self, folder: Path, engine: str) -> None:
        self.project = copy_project(folder / "project")
        self._environment = {
            **os.environ,
            "SANDBOX_STATE_DIR": str(folder / "state"),
            "SANDBOX_PROJECT": str(self.project.root),
            "SANDBOX_ENGINE": engine,
        }
        self._dev = subprocess.Popen([*SANDBOX, "dev", "-o", "json"], env=self._environment, stdout=subprocess.PIPE)
        assert self._dev.stdout
        while b'"event": "live"' not in self._dev.stdout.readline():
            pass
        status = json.loads(self.run("status", "-o", "json").stdout)
        self.port = int(status["urls"]["ingress"].rpartition(":")[2])

    def run(self, *words: str) -> "subprocess.CompletedProcess[bytes]":
        """A command beside it."""
        return subprocess.run([*SANDBOX, *words], env=self._environment, check=True, capture_output=True)

    def save(self, greeting: str) -> float:
        """Seconds from the save of a source until the ingress answers with it."""
        begun = time.monotonic()
        write_greeting(self.project.root / "filter", greeting)
        await_greeting(self.port, greeting)
        elapsed_s = time.monotonic() - begun
        assert self._dev.stdout
        line = json.loads(self._dev.stdout.readline())
        assert line["event"] == "live", line
        return elapsed_s

    def configure(self, greeting: str) -> float:
        """Seconds from the save of filter.yaml until the ingress answers with it."""
        text = (HOME / "envoy" / "xds" / "filter.yaml").read_text().replace(GREETING, greeting)
        begun = time.monotonic()
        self.project.filter_yaml.write_text(text)
        await_greeting(self.port, greeting)
        elapsed_s = time.monotonic() - begun
        assert self._dev.stdout
        self._dev.stdout.readline()
        return elapsed_s

    def command(self, *words: str) -> tuple[float, float]:
        """Seconds of a whole command, and of what it says itself: from its first request to the console to the last proof."""
        begun = time.monotonic()
        done = self.run(*words, "-o", "json")
        return time.monotonic() - begun, json.loads(done.stdout)["elapsed_s"]

    def end_dev(self) -> None:
        """End `dev`; the stack lives on."""
        self._dev.terminate()
        assert self._dev.stdout
        self._dev.stdout.close()
        self._dev.wait()

    def close(self) -> None:
        """End the stack."""
        self.run("down", "--volumes")


@contextmanager
def _folder() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="sandbox-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def measure_swap(rounds: int, engines: tuple[str, ...]) -> Iterator[str | Comparison]:
    """For each engine: a saved source, a saved configuration, `rollback`, and `swap` to TinyGo's module."""
    with _folder() as folder:
        ports = {name: 23_000 + at for at, name in enumerate((INGRESS.name, BYPASS.name, JWT_API_PORT.name, UPSTREAM_PORT.name))}
        bare = Bare(folder / "bare", ports)
        try:
            for engine in engines:
                yield from _measure_engine(rounds, engine, bare, folder / engine)
        finally:
            bare.close()


def _measure_engine(rounds: int, engine: str, bare: Bare, folder: Path) -> Iterator[str | Comparison]:
    ours = Following(folder, engine)
    saved: list[tuple[float, float, float]] = []
    try:
        for number in range(rounds + 1):
            greeting = f"{engine} {number}"
            saved.append((ours.save(greeting), bare.build(greeting), bare.load(greeting)))
        saved = saved[1:]
        yield Comparison(
            ours=f"save to live ({engine})",
            other="go build + load",
            ours_s=median(row[0] for row in saved),
            other_s=median(row[1] + row[2] for row in saved),
            rounds=rounds,
        )
        over = [row[0] - row[1] - row[2] for row in saved]
        low, middle, high = quantiles(over, n=4, method="inclusive")
        parts = f"go build {median(row[1] for row in saved):.2f} s, load {median(row[2] for row in saved):.2f} s"
        yield f"  over the sum by {middle:.3f} s, half of them {low:.3f} to {high:.3f} (aim: {LIMIT_OVER_S} s at most); {parts}"
        configured = [ours.configure(f"configured {number}") for number in range(rounds)]
        yield f"  saved configuration to live: {median(configured):.3f} s (aim: 0.3 s)"
        ours.end_dev()
        tinygo = str(Project(root=HOME).module("tinygo"))
        go = str(Project(root=HOME).module("go"))
        swapped, back = [], []
        for _ in range(rounds):
            ours.run("swap", go)
            swapped.append(ours.command("swap", tinygo))
            back.append(ours.command("rollback"))
        for what, aim_s, measured in (("swap` to TinyGo's", 0.6, swapped), ("rollback` to Go's", 0.5, back)):
            whole_s, inside_s = (median(times) for times in zip(*measured, strict=True))
            yield f"  `{what} module: {inside_s:.3f} s, the whole command {whole_s:.3f} s (aim: {aim_s} s)"
    finally:
        ours.close()
