"""The engine itself ends, dies and comes back. The numbers are those of the list of faults."""

import os
import signal
import subprocess
import time

import pytest
from docker_engine import DockerEngine
from own_engine import OwnEngine
from stacks import Sandbox, until

from sandbox.engines.docker.images import SERVICES_REPOSITORY, find_sources, sources_tag
from sandbox.workspace import HOME

pytestmark = pytest.mark.slow


@pytest.fixture
def sandbox(engine: OwnEngine, make_sandbox) -> Sandbox:
    """A sandbox on an engine of our own."""
    return make_sandbox(environment={**engine.environment, "SANDBOX_ENGINE": "docker"})


@pytest.fixture(scope="module")
def engine(docker_engine: DockerEngine, own_engine: OwnEngine) -> OwnEngine:
    """The engine of our own, with the image of the services if the other one has it: that saves a minute."""
    image = f"{SERVICES_REPOSITORY}:{sources_tag(find_sources(HOME))}"
    with subprocess.Popen(["docker", "save", image], env=docker_engine.environment, stdout=subprocess.PIPE) as saved:
        subprocess.run(["docker", "load"], env={**os.environ, **own_engine.environment}, stdin=saved.stdout, check=False)
    return own_engine


@pytest.mark.parametrize(("number", "verb"), [(signal.SIGTERM, "up"), (signal.SIGKILL, "down")], ids=["ends-up", "dies-down"])
def test_04_the_engine_is_restarted(sandbox: Sandbox, engine: OwnEngine, verb: str, number: signal.Signals):
    """Some containers come back with it and some do not; what is recorded of the stack is stale, and is known to be."""
    sandbox.up()
    before = sandbox.pids()
    engine.end(number)
    for words in (["status"], ["up"], ["down"], ["curl", "/"]):
        done = sandbox.run(*words).expect(3)
        assert "hint: " in done.stderr, done.stderr
    began = time.time()
    engine.start()
    until(lambda: sandbox.run("status", "-o", "json").returncode == 5, timeout_s=120, what="an engine that answers")
    report = sandbox.json("status", returncode=5)
    assert (report["phase"], report["services"]) == ("crashed", [])
    assert began - 60 < report["crashed_at"] < time.time() + 1
    assert "crashed at 20" in sandbox.run("status").expect(5).stdout
    if verb == "up":
        assert "cleaning up after a stack that crashed" in sandbox.up().stderr
        assert sandbox.curl()["status"] == 200
        assert not set(before.values()) & set(sandbox.pids().values())
    sandbox.down()
    assert sandbox.leftovers() == []


def test_04_the_engine_dies_while_a_stack_starts(sandbox: Sandbox, engine: OwnEngine):
    starting = sandbox.start("up", *sandbox.port_flags)
    until(lambda: "running" in sandbox.docker.states().values(), timeout_s=120, what="the first service")
    engine.end(signal.SIGKILL)
    done = sandbox.finish(starting)
    engine.start()
    assert done.returncode in (3, 5), done
    assert "hint: " in done.stderr
    assert "Traceback" not in done.stderr
    assert sandbox.processes() == []
    until(lambda: sandbox.run("status", "-o", "json").returncode == 5, timeout_s=120, what="an engine that answers")
    assert sandbox.json("status", returncode=5)["phase"] == "crashed"
    sandbox.down()
    assert sandbox.leftovers() == []
