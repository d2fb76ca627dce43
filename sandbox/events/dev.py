"""What becomes of each save."""

from dataclasses import dataclass

from sandbox.events.filter import BuiltModule, Swapped
from sandbox.events.stack import LogRecord
from sandbox.events.verb import Event
from sandbox.events.watch import Crash
from sandbox.observe.exchange import Exchange


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleDone:
    """What was saved is live. `built` is None where only the configuration was another one, `test_s` where nothing was tested.

    `swapped` is None where the stack was started with it. `elapsed_s` counts from when it was seen.
    """

    changed: tuple[str, ...]
    built: BuiltModule | None
    test_s: float | None
    swapped: Swapped | None
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleFailed:
    """What was saved is not live: an error, as `errors.SandboxError` has it.

    `serving` is the filter that is live, where `details` do not say so.
    """

    changed: tuple[str, ...]
    message: str
    details: str
    hint: str
    serving: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CycleOvertaken:
    """These were saved while the filter was built, so that it is built once more."""

    saved: tuple[str, ...]


DevEvent = Event | LogRecord | Crash | Exchange | CycleDone | CycleFailed | CycleOvertaken
