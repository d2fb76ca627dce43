"""A filter that is made, built, or swapped in."""

from dataclasses import dataclass

FAILED_STATUS = 500
"""From this HTTP status on a request counts as lost."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModule:
    """A filter was built, and nothing in its bytes speaks against it. `path` is in the store, `build_s` the compiler's time.

    `toolchain` is `go`, `tinygo` or `command`, `version` the compiler's; of a command what the module says, or nothing. `level`,
    `load_s` (an estimate) and the first `problem` with its `fix` are what `check` says of it.
    """

    path: str
    sha256: str
    size_bytes: int
    build_s: float
    toolchain: str
    version: str
    level: str
    load_s: float | None
    problem: str | None
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Probed:
    """What became of the requests that were sent while a filter was swapped: `lost` had no answer, or one of 500 and more.

    `first_status` is of the first one that began after Envoy had taken the filter, None where it had no answer; `problem` is why
    the first was lost.
    """

    sent: int
    lost: int
    first_status: int | None
    problem: str | None

    @property
    def is_passed(self) -> bool:
        """Whether a request came through the new filter."""
        return self.first_status is not None and self.first_status < FAILED_STATUS


@dataclass(frozen=True, slots=True, kw_only=True)
class Swapped:
    """Envoy runs this filter, or did already (`unchanged`). `before` is the version that it ran before.

    `envoy_s` is what Envoy took over it, `elapsed_s` all of it, as seen from here.
    """

    version: str
    before: str
    origin: str
    unchanged: bool
    envoy_s: float
    probed: Probed
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectMade:
    """`new` has made a project in `folder`, with these files. `next_commands` start it, from where the user is."""

    folder: str
    language: str
    files: tuple[str, ...]
    next_commands: tuple[str, ...]
