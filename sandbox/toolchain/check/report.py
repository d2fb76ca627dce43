"""What a check found: facts and findings, each with a level and, where something is to be done, how."""

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "refused"]
OK: Level = "ok"
WARNING: Level = "warning"
REFUSED: Level = "refused"
"""Envoy would not take the module, or would itself end over it."""

_LEVELS = (OK, WARNING, REFUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at. `text` is one line; `fix` is what to do, empty where nothing is."""

    topic: str
    level: Level
    text: str
    fix: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostCall:
    """A function that the module imports, as Envoy names it, and whether the Envoy in question has it in that form."""

    name: str
    offered: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ModuleReport:
    """All of it. What can't be read of a file that is no module is None or empty.

    `envoy` is the version in question, as `1.40`; `accepted_by` are all measured ones that would take the module. `abi` is as
    `0.2.1`, `toolchain` as `TinyGo 0.41.1`, `load_s` an estimate in seconds, `sha256` in hexadecimal.
    """

    level: Level
    envoy: str
    accepted_by: tuple[str, ...]
    size_bytes: int
    sha256: str
    abi: str | None
    toolchain: str | None
    code_bytes: int
    load_s: float | None
    callbacks: tuple[str, ...]
    host_calls: tuple[HostCall, ...]
    findings: tuple[Finding, ...]

    @property
    def reason(self) -> Finding | None:
        """The first finding for which Envoy would refuse the module."""
        return next((finding for finding in self.findings if finding.level == REFUSED), None)


def worst(findings: "list[Finding]") -> Level:
    """The level of the worst of them."""
    return max((finding.level for finding in findings), key=_LEVELS.index, default=OK)
