"""A second Docker Engine, for tests that end, kill or starve one. It is made by `.ci/engine`."""

import contextlib
import os
import shlex
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from docker_engine import DockerEngine
from stacks import REPOSITORY

CI_ENGINE = REPOSITORY / ".ci" / "engine"


class OwnEngine:
    """An engine that may be ended."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = environment
        self._note = folder / "dockerd.pid"
        self._process = psutil.Process(int(self._note.read_text()))
        self._command, self._variables = self._process.cmdline(), self._process.environ()
        self._child: subprocess.Popen[bytes] | None = None

    def end(self, number: signal.Signals) -> None:
        """Send this signal, and wait for the end."""
        self._process.send_signal(number)
        if self._child:
            self._child.wait(60)
        else:
            self._process.wait(60)

    def start(self) -> None:
        """Start it as it was started before."""
        Path(self._command[self._command.index("--pidfile") + 1]).unlink(missing_ok=True)
        with (self.folder / "dockerd.log").open("ab") as log:
            self._child = subprocess.Popen(
                self._command, env=self._variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
            )
        self._process = psutil.Process(self._child.pid)
        self._note.write_text(f"{self._child.pid}\n")

    def finish(self) -> None:
        """End it for good."""
        subprocess.run([CI_ENGINE / "stop", self.folder], check=True, timeout=120)
        if self._child:
            self._child.wait(60)


@contextlib.contextmanager
def run_engine(folder: Path, *flags: str) -> Iterator[OwnEngine]:
    """An engine with these flags of dockerd; without root, or another thing that it needs, the test is skipped, but not in CI."""
    command = [CI_ENGINE / "start", folder, *(["--", *flags] if flags else [])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=280, check=False)
    if done.returncode and not os.environ.get("CI"):
        pytest.skip(f"no engine of our own: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr
    variables = dict(word.split("=", 1) for line in done.stdout.splitlines() for word in shlex.split(line)[1:])
    engine = OwnEngine(folder, {name: value for name, value in variables.items() if name.startswith("DOCKER_")})
    try:
        yield engine
    finally:
        engine.finish()


@pytest.fixture(scope="module")
def own_engine(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OwnEngine]:
    """An engine that only this module uses."""
    with run_engine(tmp_path_factory.mktemp("engine")) as engine:
        yield engine
