"""The Docker Engine that tests run on: the one at hand. Without one they are skipped and say why; in CI that is a failure."""

import os
from dataclasses import dataclass

import pytest

from sandbox.engines.docker.discovery.find import find_docker
from sandbox.errors import PreconditionError

CHOICE = ("DOCKER_HOST", "DOCKER_CONFIG", "DOCKER_CONTEXT", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "PATH")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """How it is reached, as variables."""

    environment: dict[str, str]


@pytest.fixture(scope="session")
def docker_engine() -> DockerEngine:
    """A real engine with compose."""
    try:
        found, why = find_docker(), "Docker is not installed"
    except PreconditionError as error:
        found, why = None, f"{error.message}; {error.hint}"
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"CI needs a Docker Engine: {why}")
        pytest.skip(why)
    variables = {name: os.environ[name] for name in CHOICE if name in os.environ}
    return DockerEngine(environment={**variables, **found.target.environment})
