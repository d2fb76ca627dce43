"""Which engine runs the stack: the registry, and the one place that chooses."""

from sandbox.config import Settings
from sandbox.engines.base import Engine
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline
from sandbox.workspace import Project, State

DOCKER_TIMEOUT_S = 3.0


def select_engine(settings: Settings, project: Project, state: State) -> Engine:
    """The engine that the settings name; `auto` takes the one that runs the stack, else Docker where it is of use.

    Raises: PreconditionError when the stack runs on the other engine, or Docker was asked for and is of no use.
    """
    match settings.engine:
        case "docker":
            chosen, other = _docker(settings, project, state), _local(project, state) if state.run.exists() else None
        case "local":
            chosen, other = _local(project, state), _docker_if_marked(settings, project, state)
        case _:
            return _best(settings, project, state)
    if other and other.find().phase != "stopped":
        raise PreconditionError(
            f"this project's stack is on the {other.name} engine", hint=f"sandbox down --engine {other.name}, then this again"
        )
    return chosen


def _best(settings: Settings, project: Project, state: State) -> Engine:
    if state.run.exists():
        return _local(project, state)
    try:
        return _docker(settings, project, state, with_compose=not state.mounts.exists())
    except PreconditionError as error:
        return _local(project, state, because=f"{error.message}: the stack runs as processes")


def _docker_if_marked(settings: Settings, project: Project, state: State) -> Engine | None:
    """Docker, if it has been given a stack to run; an engine that is gone runs none."""
    if not state.mounts.exists():
        return None
    try:
        return _docker(settings, project, state)
    except PreconditionError:
        return None


def _docker(settings: Settings, project: Project, state: State, *, with_compose: bool = False) -> Engine:
    from sandbox.engines.docker.engine import DockerEngine
    from sandbox.engines.docker.find import INSTALL_HINT, check_compose, find_engine

    deadline = Deadline(DOCKER_TIMEOUT_S)
    docker = find_engine(deadline)
    if docker is None:
        raise PreconditionError("Docker is not installed", hint=f"sandbox up --engine local, or {INSTALL_HINT}")
    if with_compose:
        check_compose(deadline)
    return DockerEngine(project, state, settings, docker)


def _local(project: Project, state: State, *, because: str = "") -> Engine:
    from sandbox.engines.local.engine import LocalEngine

    return LocalEngine(state, project.services_root, because=because)
