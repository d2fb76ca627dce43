"""Which engine runs the stack: the registry, and the one place that chooses."""

from sandbox.engines.base import Engine
from sandbox.errors import ConfigError
from sandbox.workspace import Project, State


def select_engine(name: str, project: Project, state: State) -> Engine:
    """The engine of that name; `auto` takes the best at hand: the local one, as long as it is the only one.

    Raises: ConfigError for a name that is none.
    """
    match name:
        case "auto" | "local":
            from sandbox.engines.local.engine import LocalEngine

            return LocalEngine(state, project.services_root)
        case _:
            raise ConfigError(f"there is no engine {name!r}", hint="sandbox up --engine local")
