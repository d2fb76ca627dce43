"""Which filters an Envoy was given and took, newest last: what `status` lists and `rollback` goes back to. No I/O."""

import json
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from sandbox.envoy.resource import Injected
from sandbox.stack import PARKED_NAMES, shorten

KEPT = 10
"""Versions that can be gone back to."""
KEPT_BYTES = 256 * 1024 * 1024
"""Of their modules, all together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterVersion:
    """A filter that Envoy took. `version` is as Envoy's `version_text`, `text` the resource that it was given.

    `module_origin` says for people where the module came from (`tinygo`, a file's name), `configured_by` where the configuration
    did, nothing for the project's own. `since_s` is when it went live last, seconds since the epoch, UTC; `fetches_before`: how
    many fetches of a token had ended how by then: Envoy counts on when the filter changes.
    """

    version: str
    module_bytes: int
    module_origin: str
    configured_by: str = ""
    since_s: float
    text: str
    injected: Injected
    fetches_before: Mapping[str, int] = field(default_factory=dict)

    @property
    def module_sha256(self) -> str:
        """The module's content hash."""
        return self.version.partition("-")[0]

    @property
    def origin(self) -> str:
        """Where all of it came from."""
        return f"{self.module_origin} with {self.configured_by}" if self.configured_by else self.module_origin


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """The versions, in the order in which they went live, each once. The last one is live.

    `seed` is the version that the stack was made with, `parked` the module in each place where Envoy keeps one compiled beside
    the live one, None for an empty place.
    """

    versions: tuple[FilterVersion, ...]
    seed: str
    parked: tuple[str | None, ...] = (None,) * len(PARKED_NAMES)

    @property
    def live(self) -> FilterVersion:
        """The one that Envoy is to run."""
        return self.versions[-1]

    @property
    def modules(self) -> Collection[str]:
        """The content hashes of all modules that are needed."""
        return {version.module_sha256 for version in self.versions} | {sha256 for sha256 in self.parked if sha256}

    def place_for_live(self, target: str) -> int | None:
        """Where to park the live module before `target`, another one, takes its place; None where it is parked already.

        Not where the target is parked, for that would let go of it; else an empty place, or that of the oldest.
        """
        if self.live.module_sha256 in (*self.parked, target):
            return None
        places = [place for place, sha256 in enumerate(self.parked) if sha256 != target]
        ages: dict[str | None, int] = {version.module_sha256: age for age, version in enumerate(self.versions)}
        return min(places, key=lambda place: ages.get(self.parked[place], -1))

    def find(self, name: str) -> FilterVersion | None:
        """The newest one whose version, whole or short, begins so and that is not live; without a name the one before."""
        earlier = reversed(self.versions[:-1])
        return next((each for each in earlier if each.version.startswith(name) or shorten(each.version).startswith(name)), None)


def with_live(history: History, version: FilterVersion) -> History:
    """The history when `version` has gone live; the oldest are forgotten."""
    others = [other for other in history.versions if other.version != version.version]
    return replace(history, versions=(*_newest(others, KEPT_BYTES - version.module_bytes), version))


def without_live(history: History, target: FilterVersion) -> History:
    """The history when Envoy has gone back to `target`: what was live is the next to be forgotten, and nothing to go back to.

    So each further step goes further back.
    """
    others = [other for other in history.versions[:-1] if other.version != target.version]
    return replace(history, versions=(*_newest([history.live, *others], KEPT_BYTES - target.module_bytes), target))


def _newest(versions: list[FilterVersion], room_bytes: int) -> list[FilterVersion]:
    kept: list[FilterVersion] = []
    modules: dict[str, int] = {}
    for version in reversed(versions[-(KEPT - 1) :]):
        modules[version.module_sha256] = version.module_bytes
        if sum(modules.values()) > room_bytes:
            break
        kept.insert(0, version)
    return kept


def render_history(history: History) -> bytes:
    """As a file."""
    return json.dumps(asdict(history), indent=1).encode()


def parse_history(text: str | bytes) -> History | None:
    """Turn `render_history` back; None for anything else, as a file of another sandbox's."""
    try:
        value: Any = json.loads(text)
        versions = tuple(
            FilterVersion(**{**version, "injected": Injected(**version["injected"])}) for version in value["versions"]
        )
        history = History(versions=versions, seed=value["seed"], parked=tuple(value["parked"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None
    return history if history.versions else None
