"""Fault 30: an image that cannot be pulled, by a real engine from a real registry, and a pull that is watched or interrupted."""

import signal
import socket
from collections.abc import Iterator

import pexpect
import pytest
from docker_engine import DockerEngine
from registry import Registry, serve_registry
from stacks import Sandbox, gone, read_lines, until

from sandbox.engines.docker.images import envoy_image

WAYS_ON = ("SANDBOX_REGISTRY=mirror.example.org sandbox up", "sandbox bundle load FILE", "sandbox up --engine local")
RATE = "the registry has counted too many downloads from this network (rate limit)"
LOGIN = "the registry does not have it, or wants a login"
ENVOY, TAG = envoy_image("").split(":")


@pytest.fixture
def registry() -> Iterator[Registry]:
    with serve_registry() as served:
        yield served


@pytest.fixture
def pulling(make_sandbox, docker_engine: DockerEngine, registry: Registry) -> Sandbox:
    """A sandbox on Docker that takes its images from `registry`."""
    return make_sandbox(environment={**docker_engine.environment, "SANDBOX_ENGINE": "docker", "SANDBOX_REGISTRY": registry.host})


def images(sandbox: Sandbox, registry: Registry) -> list[str]:
    with sandbox.docker.client() as client:
        return [tag for image in client.images.list() for tag in image.tags if tag.startswith(registry.host)]


def refuse(sandbox: Sandbox, image: str, because: str) -> None:
    """`up` must end with this, and say how to go on."""
    done = sandbox.run("up", *sandbox.port_flags).expect(3)
    assert done.error == f"error: {image} cannot be pulled: {because}"
    hint = next(line for line in done.stderr.splitlines() if line.startswith("hint: "))
    assert all(way in hint for way in WAYS_ON)
    assert f"… pulling {image}" in done.stderr
    assert sandbox.leftovers() == []


@pytest.mark.parametrize(
    ("refusal", "because"),
    [
        ((429, "TOOMANYREQUESTS", "You have reached your pull rate limit."), RATE),
        ((401, "UNAUTHORIZED", "authentication required"), LOGIN),
        ((403, "DENIED", "requested access to the resource is denied"), LOGIN),
        ((404, "MANIFEST_UNKNOWN", "manifest unknown"), "the registry does not have it"),
        ((503, "UNAVAILABLE", "later"), "the registry answers with 503 Service Unavailable"),
    ],
    ids=lambda value: str(value[0]) if isinstance(value, tuple) else "",
)
def test_a_registry_that_refuses(pulling, registry, refusal, because):
    registry.refusals[ENVOY] = refusal
    refuse(pulling, envoy_image(registry.host), because)


def test_another_platforms_image(pulling, registry):
    image = registry.add(ENVOY, layers=[1000], architecture="s390x", tag=TAG)
    done = pulling.run("up", *pulling.port_flags).expect(3)
    assert done.error.startswith(f"error: {image} cannot be pulled: there is none for this machine's platform (linux/")


def test_a_registry_that_is_not_there(pulling, registry):
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))  # nobody listens there, and nobody else can
        host = f"127.0.0.1:{held.getsockname()[1]}"
        pulling.environment["SANDBOX_REGISTRY"] = host
        refuse(pulling, envoy_image(host), f"the registry {host} cannot be reached (connection refused)")


def test_a_registry_without_a_name(pulling):
    pulling.environment["SANDBOX_REGISTRY"] = "registry.invalid"
    done = pulling.run("up", *pulling.port_flags).expect(3)
    assert done.error.startswith(
        f"error: {envoy_image('registry.invalid')} cannot be pulled: the registry registry.invalid cannot be"
    )


def test_never_to_pull_is_never_to_ask(pulling, registry):
    done = pulling.run("up", "--pull", "never", *pulling.port_flags).expect(3)
    assert envoy_image(registry.host) in done.error
    assert "sandbox bundle load FILE" in done.stderr
    assert registry.asked == []


def test_a_pull_on_a_terminal_has_a_bar_and_ctrl_c_leaves_nothing(pulling, registry):
    registry.bytes_per_s = 2e6
    image = registry.add(ENVOY, layers=[20_000_000, 10_000_000], tag=TAG)
    terminal = pulling.spawn("up", *pulling.port_flags)
    terminal.expect_exact(f"pulling {image}")
    terminal.expect_exact(" of 30.0 MB")
    terminal.sendintr()
    terminal.expect_exact("\x1b[?25h")  # the cursor is there again
    terminal.expect_exact("interrupted")
    terminal.expect_exact(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert images(pulling, registry) == []
    assert pulling.leftovers() == []


def test_a_pull_that_is_interrupted_in_a_pipe_says_where_it_was(pulling, registry):
    registry.bytes_per_s = 1e6
    image = registry.add(ENVOY, layers=[20_000_000], tag=TAG)
    up = pulling.start("up", *pulling.port_flags)
    until(lambda: any("/blobs/" in line for line in registry.asked), what="the download")
    assert read_lines(up.stderr, lambda line: "pulling" in line) == [f"… pulling {image}"]
    up.send_signal(signal.SIGINT)
    done = pulling.finish(up).expect(130)
    assert done.stderr.splitlines() == ["interrupted"]
    assert gone(up.pid)
    assert images(pulling, registry) == []
