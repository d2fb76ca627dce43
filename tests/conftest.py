"""Fixtures for tests that run real stacks. Whatever a test does, nothing of it may be left: that is checked after every test."""

import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from docker_engine import docker_engine
from hypothesis import HealthCheck, settings
from own_engine import own_engine
from stacks import Sandbox, copy_project
from xdist.scheduler import LoadScopeScheduling

# Whoever started pytest may ignore these (nohup, a shell without job control), and an ignored signal is inherited by every
# program started here; one with a handler is not.
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_DFL)

# How long an example takes is the machine's affair.
settings.register_profile("busy", parent=settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("busy")

__all__ = ["docker_engine", "own_engine"]

MakeSandbox = Callable[..., Sandbox]

USES_DOCKER = re.compile(r"docker|test_bundle|test_engine_choice|test_cli_new|test_doctor\.py")
MACHINE_WIDE = re.compile(
    r"/test_(dev|dev_sources|faults_ports|readme|wheel|workshop)\.py"
    r"|::test_(keys_and_ports_outlive_a_down|06_state_files_spoilt_while_it_runs)\b"
)
"""They want the default ports, or all of the file events that this machine has."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Of two workers one has all that shares the machine, a Docker engine above all. Of the other modules each is whole."""
    return _Scheduling(config, log)


class _Scheduling(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        if USES_DOCKER.search(nodeid) or MACHINE_WIDE.search(nodeid):
            return "machine"
        return nodeid.partition("::")[0]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have measured and recorded as a property."""
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            terminalreporter.write_line(f"{name}: {value}")


def _check(made: list[Sandbox]) -> None:
    left = []
    for sandbox in made:
        try:
            sandbox.await_clean()
        except AssertionError:
            left += sandbox.leftovers()
        finally:
            sandbox.destroy()
    if left:
        pytest.fail("left behind:\n" + "\n".join(left), pytrace=False)


def _engine_of(request: pytest.FixtureRequest) -> dict[str, str]:
    """The variable for the engine that the module names as ENGINE; none: the local one."""
    engine = getattr(request.module, "ENGINE", "local")
    if engine == "docker":
        request.getfixturevalue("docker_engine")
    return {"SANDBOX_ENGINE": engine}


@pytest.fixture
def make_sandbox(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeSandbox]:
    """Make sandboxes that do not know of each other; after the test nothing may be left of any."""
    engine = _engine_of(request)
    made: list[Sandbox] = []

    def make(*, project: Path | None = None, environment: dict[str, str] | None = None) -> Sandbox:
        made.append(Sandbox(tmp_path / f"sandbox-{len(made)}", project=project, environment={**engine, **(environment or {})}))
        return made[-1]

    yield make
    _check(made)


@pytest.fixture
def sandbox(make_sandbox: MakeSandbox) -> Sandbox:
    """A sandbox of which nothing runs yet, in the project that came with the package."""
    return make_sandbox()


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, to be broken."""
    return copy_project(tmp_path / "project")


@pytest.fixture
def own(make_sandbox: MakeSandbox, project: Path) -> Sandbox:
    """A sandbox of which nothing runs yet, in `project`."""
    return make_sandbox(project=project)


@pytest.fixture
def running(sandbox: Sandbox) -> Iterator[Sandbox]:
    """A sandbox whose stack runs; it is ended after the test."""
    sandbox.up()
    yield sandbox
    sandbox.run("down")


@pytest.fixture(scope="module")
def shared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack for all tests of a module that change nothing about it; its programs run the module's PRELOADED first."""
    sandbox = Sandbox(tmp_path_factory.mktemp("shared"), environment=_engine_of(request))
    if code := getattr(request.module, "PRELOADED", ""):
        sandbox.preload(code)
    sandbox.up()
    yield sandbox
    sandbox.run("down")
    _check([sandbox])
