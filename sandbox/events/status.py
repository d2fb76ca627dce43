"""Reports: of a stack, and of what a machine has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStatus:
    """One service. `ready`: it answers; None when nobody could ask it. `urls` as the stack sees them, by port name."""

    name: str
    state: str
    ready: bool | None
    pid: int | None
    uptime_s: float
    restarts: int
    urls: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterVersion:
    """A filter that Envoy took. `since_s` is when it went live last, epoch, UTC; `parked`: going back to it takes a moment."""

    version: str
    module_bytes: int
    origin: str
    since_s: float
    parked: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusReport:
    """The whole stack. `filter_live` is whether Envoy serves the very filter that was given to it last.

    `versions` are the filters that it took, the newest last, as far as they can be gone back to.
    """

    phase: str
    engine: str
    project: str
    crashed_at: float | None
    urls: Mapping[str, str]
    services: tuple[ServiceStatus, ...]
    filter_sha256: str | None
    filter_origin: str | None
    filter_live: bool | None
    versions: tuple[FilterVersion, ...]
    envoy: Mapping[str, Any]
    token_age_s: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that `doctor` looked at. `state` is `ok`, `warning` or `failed`; `fix` can be pasted."""

    name: str
    state: str
    detail: str
    fix: str = ""
