"""Fault 29: each way in which Docker can be of no use has its own message and fix, soon, and `auto` goes local and says so.

The engines here are sockets of this test's, and `docker` is a program that says what the real one said.
"""

import contextlib
import ctypes
import hashlib
import json
import os
import socket
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from fake_engine import serving
from stacks import REPOSITORY, Done, Sandbox

LIMIT_S = 3.0
"""What the command itself may take beside it: the machine may be busy."""
RECORDINGS = REPOSITORY / "tests" / "fixtures" / "docker"
INSTALL, COMPOSE = "https://docs.docker.com/engine/install/", "https://docs.docker.com/compose/install/linux/"
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 24, 1, 2

WITH_SOCKETS_IN = """
import pathlib
from sandbox.engines.docker.discovery import sockets, target
target.DEFAULT_SOCKET = pathlib.Path({folder!r}, "docker.sock")
sockets.ROOT_PODMAN = pathlib.Path({folder!r}, "podman.sock")
from sandbox.cli.main import main
main()
"""
"""`sandbox` on a machine whose sockets lie elsewhere: this one may have an engine."""


@dataclass(frozen=True, slots=True)
class Machine:
    """A sandbox, and the folders where it looks for Docker: PATH, the default sockets, Docker's configuration."""

    sandbox: Sandbox
    programs: Path
    sockets: Path
    config: Path

    def install(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        (self.programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.programs / name).chmod(0o755)

    def use_context(self, name: str, host: str = "") -> None:
        """Choose a context as `docker context use` does; without a host there is none of that name."""
        self.config.mkdir()
        (self.config / "config.json").write_text(json.dumps({"currentContext": name}))
        if host:
            folder = self.config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
            folder.mkdir(parents=True)
            (folder / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))

    def run(self, *words: str) -> Done:
        """Run `sandbox` as a user who is not root in what files allow."""
        return self.sandbox.finish(self.sandbox.start(*words, preexec_fn=obey_modes))


def obey_modes() -> None:
    """Let modes of files count for root, too; the program that is started next has no way around them."""
    if os.geteuid() == 0:
        for capability in (CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH):
            ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path leaves room for a socket's name."""
    with tempfile.TemporaryDirectory(prefix="sbx") as folder:
        yield Path(folder)


@pytest.fixture
def machine(sandbox: Sandbox, short: Path) -> Machine:
    """A machine without Docker."""
    programs = sandbox.folder / "programs"
    programs.mkdir()
    for name in list(sandbox.environment):
        if name.startswith(("DOCKER_", "COLIMA_", "XDG_")) or name.upper().endswith("_PROXY"):
            del sandbox.environment[name]
    sandbox.environment |= {"PATH": str(programs), "XDG_RUNTIME_DIR": str(short)}
    sandbox.program = ("-c", WITH_SOCKETS_IN.format(folder=str(short)))
    return Machine(sandbox, programs, short, sandbox.home / ".docker")


@contextlib.contextmanager
def absent(_: Machine) -> Iterator[None]:
    yield


@contextlib.contextmanager
def daemon_down(machine: Machine) -> Iterator[None]:
    machine.install("docker", "exit 1")
    yield


@contextlib.contextmanager
def daemon_dead(machine: Machine) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(machine.sockets / "docker.sock"))
    yield


@contextlib.contextmanager
def no_permission(machine: Machine) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(machine.sockets / "docker.sock"))
        closed.listen()
        (machine.sockets / "docker.sock").chmod(0)
        yield


@contextlib.contextmanager
def silent(machine: Machine) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX) as mute:
        mute.bind(str(machine.sockets / "docker.sock"))
        mute.listen()
        yield


@contextlib.contextmanager
def dead_context(machine: Machine) -> Iterator[None]:
    machine.use_context("colima", f"unix://{machine.sockets}/colima.sock")
    yield


@contextlib.contextmanager
def lost_context(machine: Machine) -> Iterator[None]:
    machine.use_context("gone")
    yield


@contextlib.contextmanager
def another_machine(machine: Machine) -> Iterator[None]:
    machine.use_context("build-server", "ssh://somebody@build.example.org")
    yield


@contextlib.contextmanager
def no_program(machine: Machine) -> Iterator[None]:
    with serving(machine.sockets / "docker.sock"):
        yield


@contextlib.contextmanager
def no_compose(machine: Machine) -> Iterator[None]:
    machine.install("docker", f"/bin/cat {RECORDINGS}/compose-absent.txt >&2; exit 125")
    with no_program(machine):
        yield


@contextlib.contextmanager
def compose_v1(machine: Machine) -> Iterator[None]:
    machine.install("docker-compose", "echo 1.29.2")
    with no_compose(machine):
        yield


@contextlib.contextmanager
def old_compose(machine: Machine) -> Iterator[None]:
    machine.install("docker", "echo 2.20.3")
    with no_program(machine):
        yield


FAULTS: dict[Callable[[Machine], contextlib.AbstractContextManager[None]], tuple[str, str]] = {
    absent: ("Docker is not installed", INSTALL),
    daemon_down: ("Docker: the daemon is not running", "docker"),
    daemon_dead: ("Docker: the daemon is not running", "docker"),
    no_permission: ("Docker: this user may not use the engine's socket", "sudo usermod -aG docker $USER && newgrp docker"),
    silent: ("Docker: the engine does not answer within 3 s", "docker"),
    dead_context: ("the Docker context 'colima': nothing listens there", "docker context use default"),
    lost_context: ("the Docker context 'gone' does not exist", "docker context use default"),
    another_machine: (
        "the Docker context 'build-server': an engine on another machine, and the stack mounts folders of this one",
        "docker context use default",
    ),
    no_program: ("Docker's engine answers, the program `docker` is not on the PATH", INSTALL),
    no_compose: ("Docker has no compose plugin", COMPOSE),
    compose_v1: ("docker-compose 1.29.2 is v1; v2 or newer is needed, as a plugin", COMPOSE),
    old_compose: ("compose 2.20.3 is too old; 2.29 or newer is needed", COMPOSE),
}


@pytest.fixture(params=FAULTS, ids=lambda fault: fault.__name__)
def fault(request: pytest.FixtureRequest, machine: Machine) -> Iterator[tuple[str, str]]:
    """The machine has one of these; message and fix."""
    with request.param(machine):
        yield FAULTS[request.param]


def test_who_asks_for_docker_is_told_why_not(machine: Machine, fault: tuple[str, str]):
    message, fix = fault
    done = machine.run("up", "--engine", "docker", *machine.sandbox.port_flags).expect(3)
    assert done.error == f"error: {message}"
    assert any(line.startswith("hint: ") and fix in line for line in done.stderr.splitlines())
    assert done.stdout == ""
    assert machine.sandbox.leftovers() == []


def test_who_leaves_the_choice_gets_processes_and_one_line(machine: Machine, fault: tuple[str, str]):
    message, _ = fault
    done = machine.run("up", "--engine", "auto", *machine.sandbox.port_flags).expect(0)
    assert [line for line in done.stderr.splitlines() if line.startswith("! ")] == [f"! {message}: the stack runs as processes"]
    assert "local, Envoy" in done.stdout
    machine.run("down").expect(0)


def test_the_doctor_says_it_too(machine: Machine, fault: tuple[str, str]):
    message, fix = fault
    checks = json.loads(machine.run("doctor", "-o", "json").stdout)["checks"]
    found = next(check for check in checks if check["name"] == "docker")
    if message == "Docker is not installed":
        assert (found["state"], found["detail"]) == ("ok", "not installed; the local engine needs none")
    else:
        assert (found["state"], found["detail"]) == ("warning", f"{message}; the local engine needs none")
    assert fix in found["fix"]
