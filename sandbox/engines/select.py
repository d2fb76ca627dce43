"""Which engine runs the stack: the registry, and the one place that chooses."""

from sandbox.engines.base import Engine
from sandbox.workspace import Project, State


def select_engine(name: str, project: Project, state: State) -> Engine:
    """The engine of that name; `auto` takes the best that is at hand, which is the local one as long as it is the only one."""
    from sandbox.engines.local.engine import LocalEngine

    return LocalEngine(state, project.services_root)
