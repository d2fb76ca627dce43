"""Which engine runs the stack: the registry, and the one place that chooses."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.config import Settings
from sandbox.engines.base import Engine, Images
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline
from sandbox.workspace import Project, State

if TYPE_CHECKING:
    from sandbox.engines.docker.discovery.find import FoundDocker

DOCKER_TIMEOUT_S = 3.0


def select_engine(settings: Settings, project: Project, state: State) -> Engine:
    """The engine that the settings name; `auto` takes the one that runs the stack, else Docker where it is of use.

    Raises: PreconditionError when the stack runs on the other engine, or Docker was asked for and is of no use.
    """
    match settings.engine:
        case "docker":
            chosen, other = _docker(settings, project, state), _local(project, state) if _is_there(state.run) else None
        case "local":
            chosen, other = _local(project, state), _docker_if_marked(settings, project, state)
        case _:
            return _best(settings, project, state)
    if other and other.find().phase != "stopped":
        raise PreconditionError(
            f"this project's stack is on the {other.name} engine", hint=f"sandbox down --engine {other.name}, then this again"
        )
    return chosen


def find_images(settings: Settings, project: Project, state: State) -> tuple[Images | None, str]:
    """The images of the engine that the settings name; None and why, where it has none.

    Raises: PreconditionError when Docker was asked for and is of no use.
    """
    from sandbox.engines.docker.bundle import DockerImages
    from sandbox.engines.docker.discovery.find import check_compose

    if settings.engine == "local":
        return None, "the local engine has none"
    deadline = Deadline(DOCKER_TIMEOUT_S)
    try:
        docker = _find_docker(deadline)
        check_compose(deadline)
        return DockerImages(project, state, settings, docker), ""
    except PreconditionError as error:
        if settings.engine == "docker":
            raise
        return None, error.message


def _best(settings: Settings, project: Project, state: State) -> Engine:
    if _is_there(state.run):
        return _local(project, state)
    try:
        return _docker(settings, project, state, with_compose=not _is_there(state.mounts))
    except PreconditionError as error:
        return _local(project, state, because=f"{error.message}: the stack runs as processes")


def _docker_if_marked(settings: Settings, project: Project, state: State) -> Engine | None:
    """Docker, if it has been given a stack to run; an engine that is gone runs none."""
    if not _is_there(state.mounts):
        return None
    try:
        return _docker(settings, project, state)
    except PreconditionError:
        return None


def _docker(settings: Settings, project: Project, state: State, *, with_compose: bool = False) -> Engine:
    from sandbox.engines.docker.discovery.find import check_compose
    from sandbox.engines.docker.engine import DockerEngine

    deadline = Deadline(DOCKER_TIMEOUT_S)
    docker = _find_docker(deadline)
    if with_compose:
        check_compose(deadline)
    return DockerEngine(project, state, settings, docker)


def _find_docker(deadline: Deadline) -> "FoundDocker":
    from sandbox.engines.docker.discovery.find import INSTALL_HINT, find_engine

    docker = find_engine(deadline)
    if docker is None:
        raise PreconditionError("Docker is not installed", hint=f"sandbox up --engine local, or {INSTALL_HINT}")
    return docker


def _local(project: Project, state: State, *, because: str = "") -> Engine:
    from sandbox.engines.local.engine import LocalEngine

    return LocalEngine(state, project.services_root, because=because)


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - before Python 3.14 the method raises in a closed folder
