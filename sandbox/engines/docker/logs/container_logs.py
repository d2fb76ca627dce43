"""`logs` on Docker: the lines of a project's containers, chosen, and kept for when the containers are gone."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from sandbox.engines.journal import JournalWriter
from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

    from sandbox.engines.docker.logs.project import ProjectLog

ENGINE_PATIENCE_S = 60.0
"""How long the engine may be away while it is followed: it restarts, or is updated."""
RETRY_S = 0.2
STEADY_S = 1.0
"""An engine that answers for less has not come back."""
MAX_SAVED_MESSAGES = 20_000
"""Of each container: a stack that wrote more ends a second or two later for it."""


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
    from sandbox.engines.docker.logs.project import ProjectLog
    from sandbox.engines.docker.logs.reading import LostError

    with contextlib.closing(open_client()) as client:
        log = ProjectLog(client, project, services, since_s)
        try:
            if tail is None:
                yield from _chosen(log.past(goes_on=follow), matching)
            else:
                yield from log.last(tail, matching, goes_on=follow)
        except LostError as error:
            if tail is not None or not follow or not log.is_begun:
                raise _explain(error) from error
        if follow:
            yield from _chosen(_follow(log), matching)


def save_container_logs(client: "APIClient", project: str, folder: Path) -> None:
    """Write a journal of what the project's containers have written, at most the last 16 MB, into a folder that is there.

    Never raises for what cannot be kept: it is no reason to keep the containers. The journal says so where it can.
    """
    from sandbox.engines.docker.logs.project import ProjectLog
    from sandbox.engines.docker.logs.reading import LostError

    with contextlib.suppress(OSError), contextlib.closing(JournalWriter(folder)) as journal:
        try:
            for record in ProjectLog(client, project, (), None).past(goes_on=False, last=MAX_SAVED_MESSAGES):
                journal.append(record)
        except (LostError, StackError) as error:
            told = f"[sandbox] what was written after this could not be kept: {error}"
            journal.append(LogRecord(time_s=time.time(), service="sandbox", line=told))


def _chosen(records: "Iterator[LogRecord]", matching: Callable[[LogRecord], bool]) -> Iterator[LogRecord]:
    with contextlib.closing(records):  # type: ignore[type-var] # both are generators
        yield from filter(matching, records)


def _follow(log: "ProjectLog") -> Iterator[LogRecord]:
    """What comes, over restarts of the engine."""
    from sandbox.engines.docker.logs.live import Live
    from sandbox.engines.docker.logs.reading import LostError

    deadline = Deadline(ENGINE_PATIENCE_S)
    while True:
        live = None
        try:
            with contextlib.closing(Live(log)) as live:
                yield from live.records()
                return
        except LostError as error:
            yield from log.rest()
            if live and live.lasted_s > STEADY_S:
                deadline = Deadline(ENGINE_PATIENCE_S)
            if deadline.over:
                raise _explain(error) from error
        time.sleep(RETRY_S)
        with contextlib.suppress(LostError):
            yield from log.past(goes_on=True)


def _explain(error: Exception) -> StackError:
    return StackError(f"the Docker engine cannot be asked: {error}", hint="docker info")
