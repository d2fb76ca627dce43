"""What every engine can do (`Engine`, `Run`), and what one may be able to do (`Images`)."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from sandbox.errors import StackError
from sandbox.events.stack import EngineEvent, LogRecord
from sandbox.stack import Endpoints, Launch
from sandbox.wait import Deadline

Phase = Literal["running", "starting", "crashed", "stopped"]
"""Of the whole stack."""
Condition = Literal["running", "restarting", "crash-looping", "exited", "paused"]
"""Of one service; `restarting` waits to be started again, `crash-looping` is given up, `paused` was halted by somebody."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceState:
    """One service as its engine sees it; whether it answers is another question."""

    name: str
    state: Condition
    pid: int | None
    uptime_s: float
    restarts: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StackState:
    """What the runtime itself says of the stack.

    `labels` is what `start` was given. `crashed_at` is seconds since the epoch, UTC.
    """

    phase: Phase
    endpoints: Endpoints | None = None
    services: tuple[ServiceState, ...] = ()
    labels: Mapping[str, str] | None = None
    crashed_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WantedPort:
    """A port on the host: asked for by name (`exact`: it or an error), or only preferred."""

    name: str
    number: int
    exact: bool


class PortTakenError(StackError):
    """Another program took one of the published ports after it was chosen."""

    def __init__(self) -> None:
        super().__init__("another program took one of the stack's ports", hint="sandbox down, then sandbox up")


class Run(Protocol):
    """A stack that is being started; whoever started it adopts or aborts it."""

    def events(self, timeout_s: float) -> Sequence[EngineEvent]:
        """Wait for what happens next; empty when nothing did in time.

        Raises: StackError when the stack was ended by somebody else, or cannot go on; PortTakenError.
        """

    def adopt(self, *, release: bool) -> None:
        """The stack is good: from now on crashed services are started again. `release`: it outlives this process."""

    def abort(self) -> None:
        """End the stack; returns when nothing is left of it."""


class Engine(Protocol):
    """Something that can run the stack of one project."""

    name: str

    def find(self) -> StackState:
        """Ask the runtime what there is.

        Raises: PreconditionError when a newer sandbox made it.
        """

    def prepare(self) -> Iterator[EngineEvent]:
        """Get what a start needs and this machine does not have yet, however long that takes.

        Raises: PreconditionError when it cannot be had.
        """

    def reserve(self, wanted: Sequence[WantedPort]) -> tuple[Endpoints, Sequence[str]]:
        """Take the ports; returns where everything will be, and a line for each preferred port that was busy.

        Raises: PreconditionError that names the holder of an exact port.
        """

    def start(self, launches: Sequence[Launch], files: Mapping[str, bytes], labels: Mapping[str, str]) -> Run:
        """Start the services. `files` are those of Envoy's working folder, by relative name."""

    def stop(self, *, deadline: Deadline) -> Iterator[EngineEvent]:
        """End the stack, or clean up after one that crashed; nothing is left afterwards."""

    def forget(self) -> None:
        """Remove what the runtime keeps of a stack that was stopped: keys, logs."""

    def restart(self, services: Sequence[str], *, deadline: Deadline) -> Iterator[EngineEvent]:
        """End and start services of the running stack.

        Raises: StackError when none runs.
        """

    def logs(
        self,
        *,
        services: Sequence[str],
        since_s: float | None,
        tail: int | None,
        follow: bool,
        matching: Callable[[LogRecord], bool] = lambda _: True,
        containing: Collection[str] = (),
    ) -> Iterator[LogRecord]:
        """Lines of these services (none: of all) that match, in the order in which they were written.

        At most the last `tail` of those from `since_s` (seconds since the epoch) on; with `follow` then what comes, until the
        stack ends. If there are texts in `containing`, lines with none of them need not be told, which can save reading them.
        """


class Images(Protocol):
    """What an engine runs the stack from, where that can be carried to a machine without a network. Optional.

    Each has a word for what it is used for, the same everywhere, and facts about it (`about`) that `load` gets again.
    """

    def get(self) -> Iterator[EngineEvent]:
        """Get those that this machine does not have yet, as `Engine.prepare` does.

        Raises: PreconditionError when one cannot be had.
        """

    def describe(self) -> Mapping[str, Mapping[str, str]]:
        """The facts about those that are here, by their use; `name` is one of them."""

    def fits(self, use: str, about: Mapping[str, str]) -> bool:
        """Whether an image from elsewhere is what would be run here."""

    def save(self, use: str) -> Iterator[bytes]:
        """The image as a stream that `load` takes."""

    def load(self, use: str, about: Mapping[str, str], pieces: Iterator[bytes]) -> Iterator[int]:
        """Take an image that fits; yields how many bytes are taken.

        Raises: SandboxError when the engine does not take it; then it has nothing of it.
        """
