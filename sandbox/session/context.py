"""What every verb works on: the project, its state folder, the settings and the engine."""

import contextlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.config import Settings, load_settings
from sandbox.engines.base import Engine, StackState
from sandbox.engines.select import select_engine
from sandbox.errors import ConfigError, PreconditionError, StackError
from sandbox.files import make_private_folder
from sandbox.stack import Endpoints
from sandbox.wait import Deadline
from sandbox.workspace import Project, State, current_folder, find_project, state_of

if TYPE_CHECKING:
    import httpx2

LOCK_POLL_S = 0.02
ENDING_S = 5.0
"""A stack that is being ended looks as if it had crashed for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One project on this machine."""

    project: Project
    state: State
    settings: Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Context(Place):
    """A project with what runs its stack."""

    engine: Engine


def open_place(flags: Mapping[str, Any], *, to_end: bool = False) -> Place:
    """Find the project and merge the settings; `flags` that are None were not given.

    `to_end`: only to end the stack, which settings that are wrong by now must not prevent.

    Raises: ConfigError, PreconditionError.
    """
    project = find_project(current_folder())
    try:
        settings = load_settings(project.settings_yaml, flags)
    except ConfigError:
        if not to_end:
            raise
        settings = load_settings(Path(os.devnull), flags, {})
    return Place(project=project, state=state_of(project), settings=settings)


def open_context(flags: Mapping[str, Any], *, to_end: bool = False) -> Context:
    """As `open_place`, with the engine.

    Raises: ConfigError, PreconditionError.
    """
    place = open_place(flags, to_end=to_end)
    engine = select_engine(place.settings, place.project, place.state)
    return Context(project=place.project, state=place.state, settings=place.settings, engine=engine)


@contextlib.contextmanager
def stack_lock(state: State, deadline: Deadline) -> Iterator[None]:
    """Let one command at a time start, restart or stop this project's stack; the second waits.

    Raises: PreconditionError when the other takes longer than `deadline`.
    """
    from filelock import FileLock, Timeout

    lock = FileLock(state.lock, mode=0o600, poll_interval=LOCK_POLL_S)
    try:
        while not lock.is_locked:
            make_private_folder(state.root)
            with contextlib.suppress(FileNotFoundError):  # a `down --volumes` that was waited for has removed it
                lock.acquire(timeout=deadline.remaining_s)
    except Timeout as error:
        raise PreconditionError("another sandbox command is starting or stopping this stack", hint="sandbox status") from error
    except OSError as error:
        raise PreconditionError(f"cannot lock {state.lock}: {error.strerror}", hint=f"ls -l {state.lock}") from error
    try:
        yield
    finally:
        lock.release()


def running_stack(context: Context) -> tuple[StackState, Endpoints]:
    """The stack and where it is.

    Raises: StackError when none runs.
    """
    found = context.engine.find()
    if found.endpoints is None or found.phase == "crashed":
        word = "has crashed" if found.phase == "crashed" else "is not running"
        raise StackError(f"the stack {word}", hint="sandbox up")
    return found, found.endpoints


def open_client(timeout_s: float) -> "httpx2.Client":
    """A client for the loopback interface: no proxy from the environment, no certificates to load, no redirects."""
    import httpx2

    return httpx2.Client(timeout=timeout_s, trust_env=False, verify=False, follow_redirects=False)
