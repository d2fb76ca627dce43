"""Which engine runs the stack, and that it stays there until it is ended."""

import pytest
from stacks import Sandbox, free_ports

pytestmark = pytest.mark.usefixtures("docker_engine")


@pytest.fixture
def chooser(make_sandbox) -> Sandbox:
    """A sandbox that takes what is best."""
    return make_sandbox(environment={"SANDBOX_ENGINE": "auto"})


def test_auto_takes_docker_where_it_is_at_hand_and_finds_the_stack_there(chooser: Sandbox):
    assert chooser.json("up", *chooser.port_flags)["engine"] == "docker"
    assert chooser.status()["engine"] == "docker"
    assert chooser.curl()["status"] == 200
    refused = chooser.run("up", "--engine", "local").expect(3)
    assert refused.error == "error: this project's stack is on the docker engine"
    assert "hint: sandbox down --engine docker" in refused.stderr
    assert chooser.status()["phase"] == "running"
    chooser.run("down").expect(0)


def test_auto_stays_with_the_processes_that_run(chooser: Sandbox):
    assert chooser.json("up", "--engine", "local", *chooser.port_flags)["engine"] == "local"
    assert chooser.status()["engine"] == "local"
    assert "already running" in chooser.run("up").expect(0).stdout
    refused = chooser.run("up", "--engine", "docker").expect(3)
    assert refused.error == "error: this project's stack is on the local engine"
    assert "hint: sandbox down --engine local" in refused.stderr
    chooser.run("down").expect(0)


def test_the_engine_can_change_between_two_runs(chooser: Sandbox):
    for engine in ("docker", "local"):
        assert chooser.json("up", "--engine", engine, *chooser.port_flags)["engine"] == engine
        chooser.run("down", "--engine", engine).expect(0)
    assert chooser.leftovers() == []


def test_settings_for_docker_are_checked_before_anything_is_asked(chooser: Sandbox):
    [port] = free_ports(1)
    for setting, said in {
        "SANDBOX_REGISTRY=https://mirror.example.org": "registry must be a registry's name",
        "SANDBOX_PULL=sometimes": "pull must be missing, always or never",
        f"SANDBOX_ENGINE=podman:{port}": "engine must be auto, docker or local",
    }.items():
        name, _, value = setting.partition("=")
        chooser.environment[name] = value
        assert said in chooser.run("up").expect(2).error
        chooser.environment[name] = "auto" if name == "SANDBOX_ENGINE" else ""


def test_an_image_that_is_not_there_and_may_not_be_pulled(chooser: Sandbox):
    chooser.environment["SANDBOX_REGISTRY"] = "mirror.invalid/nothing"
    done = chooser.run("up", "--engine", "docker", "--pull", "never").expect(3)
    assert done.error == "error: the image mirror.invalid/nothing/envoyproxy/envoy:v1.40.0 is not here, and none may be pulled"
    assert "sandbox bundle load FILE" in done.stderr


def test_a_registry_that_cannot_be_reached_is_named_with_the_ways_on(chooser: Sandbox):
    chooser.environment["SANDBOX_REGISTRY"] = "127.0.0.1:9/mirror"
    done = chooser.run("up", "--engine", "docker").expect(3)
    assert "127.0.0.1:9" in done.stderr
    assert "sandbox up --engine local" in done.stderr
