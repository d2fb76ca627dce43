"""What several checks need, read once. Judges nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from sandbox.config import Settings, load_settings
from sandbox.engines.base import StackState
from sandbox.engines.select import select_engine
from sandbox.workspace import HOME, Project, State, current_folder, find_project, state_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What several checks need. None where it could not be had; `problems` says why, by the name of the check that reports it."""

    project: Project
    settings: Settings | None
    state: State | None
    stack: StackState | None
    problems: Mapping[str, Exception]


def read_facts() -> Facts:
    """Find the project, its settings, its state folder and its stack, as far as each can be found."""
    problems: dict[str, Exception] = {}

    def attempt(name: str, read: Callable[[], T]) -> T | None:
        try:
            return read()
        except Exception as error:
            problems[name] = error
            return None

    project = attempt("sandbox", lambda: find_project(current_folder())) or Project(root=HOME)
    settings = attempt("settings", lambda: load_settings(project.settings_yaml, {}))
    state = attempt("state folder", lambda: state_of(project))
    stack = attempt("stack", lambda: select_engine(settings, project, state).find()) if settings and state else None
    return Facts(project=project, settings=settings, state=state, stack=stack, problems=problems)
