"""Fault 31: an engine that has no address range left for the stack's networks."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_engine import DockerEngine
from own_engine import run_engine

ONE_RANGE = ("--default-address-pool", "base=10.233.0.0/24,size=24")
"""The stack has two networks."""


@pytest.fixture
def small_engine(docker_engine: DockerEngine, tmp_path: Path) -> Iterator[dict[str, str]]:
    """An engine of our own whose ranges are few; the variables that lead to it."""
    with run_engine(tmp_path / "engine", *ONE_RANGE) as engine:
        yield engine.environment


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_exhausted_address_pools_are_explained(small_engine, make_sandbox):
    sandbox = make_sandbox(environment={**small_engine, "SANDBOX_ENGINE": "docker"})
    try:
        done = sandbox.run("up", *sandbox.port_flags, timeout_s=600).expect(3)
        assert done.error == "error: Docker has no address range left for one more network"
        hint = next(line for line in done.stderr.splitlines() if line.startswith("hint: "))
        for way in ("docker network prune", '"default-address-pools"', "sandbox up --engine local"):
            assert way in hint
        assert sandbox.leftovers() == []
        sandbox.run("up", "--engine", "local", *sandbox.port_flags).expect(0)
    finally:
        sandbox.run("down", "--engine", "local")
