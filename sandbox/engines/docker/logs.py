"""`logs` on Docker: the lines of a project's containers, chosen, and kept for when the containers are gone."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.engines.journal import JournalWriter
from sandbox.errors import StackError
from sandbox.events import LogRecord
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox.engines.docker.log_following import ProjectLog

ENGINE_PATIENCE_S = 60.0
"""How long the engine may be away while it is followed: it restarts, or is updated."""
RETRY_S = 0.2
STEADY_S = 1.0
"""An engine that answers for less has not come back."""
MAX_SAVED_MESSAGES = 25_000
"""Of each container: it ends a second later for them at most."""


def read_container_logs(
    open_client: "Callable[[], APIClient]",
    project: str,
    *,
    services: Collection[str] = (),
    since_s: float | None = None,
    tail: int | None = None,
    follow: bool = False,
    matching: Callable[[LogRecord], bool] = lambda _: True,
) -> Iterator[LogRecord]:
    """The lines of the project's containers, as `Engine.logs` has them, in the order of Docker's times; to be closed.

    Raises: StackError when the engine cannot be asked, or does not come back while it is followed.
    """
    from sandbox.engines.docker.log_following import ProjectLog
    from sandbox.engines.docker.log_reading import LostError

    with contextlib.closing(open_client()) as client:
        log = ProjectLog(client, project, services, since_s)
        try:
            if tail is None:
                yield from _chosen(log.past(goes_on=follow), matching)
            else:
                yield from log.last(tail, matching, goes_on=follow)
        except LostError as error:
            raise _explain(error) from error
        if follow:
            yield from _chosen(_follow(log), matching)


def save_container_logs(client: "APIClient", project: str, folder: Path) -> None:
    """Write a journal of what the project's containers have written, at most the last 16 MB, into a folder that is there.

    Raises: StackError when the engine cannot be asked; what was read by then is kept.
    """
    from sandbox.engines.docker.log_following import ProjectLog
    from sandbox.engines.docker.log_reading import LostError

    with contextlib.closing(JournalWriter(folder)) as journal:
        try:
            for record in ProjectLog(client, project, (), None).past(goes_on=False, last=MAX_SAVED_MESSAGES):
                journal.append(record)
        except LostError as error:
            raise _explain(error) from error


def _chosen(records: "Iterator[LogRecord]", matching: Callable[[LogRecord], bool]) -> Iterator[LogRecord]:
    with contextlib.closing(records):  # type: ignore[type-var] # both are generators
        yield from filter(matching, records)


def _follow(log: "ProjectLog") -> Iterator[LogRecord]:
    """What comes, over restarts of the engine."""
    from sandbox.engines.docker.log_following import Live
    from sandbox.engines.docker.log_reading import LostError

    deadline = Deadline(ENGINE_PATIENCE_S)
    while True:
        live = None
        try:
            with contextlib.closing(Live(log)) as live:
                yield from live.records()
                return
        except LostError as error:
            if live and live.lasted_s > STEADY_S:
                deadline = Deadline(ENGINE_PATIENCE_S)
            if deadline.over:
                raise _explain(error) from error
        time.sleep(RETRY_S)
        with contextlib.suppress(LostError):
            yield from log.past(goes_on=True)


def _explain(error: Exception) -> StackError:
    return StackError(f"the Docker engine cannot be asked: {error}", hint="docker info")
