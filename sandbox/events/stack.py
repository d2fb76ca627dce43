"""A stack that starts, runs and stops, and what its services write."""

from dataclasses import dataclass
from typing import Literal

from sandbox.observe.headers import Headers
from sandbox.observe.token import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStarted:
    """A service's process runs; it need not answer yet."""

    service: str
    pid: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceHealthy:
    """A service passes its health check, which others wait for. Only from an engine that checks."""

    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceExited:
    """A service ended without being asked to. `tail` are its last lines, `returncode` negative for a signal."""

    service: str
    returncode: int
    tail: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceStopped:
    """A service ended as asked."""

    service: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an image is, or Envoy's program: `item` is its name, the same in all records about it. The first has no bytes yet.

    `detail` is what is done now: a step of the build, or how many layers of the pull are there. Bytes are of what is downloaded,
    compressed, over all layers whose size is known by then: `total_bytes` can grow, and None means that none is. `finished` is
    the last record, and only comes when all went well. Of what goes into a bundle or comes out of one, bytes are of the file.
    """

    kind: Literal["pull", "build", "fetch", "pack", "check", "load"]
    item: str
    detail: str
    done_bytes: int | None
    total_bytes: int | None
    finished: bool


EngineEvent = ServiceStarted | ServiceHealthy | ServiceExited | ServiceStopped | Progress


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of a verb is done. `elapsed_s` counts from the verb's start."""

    name: str
    detail: str
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something the user should know, though nothing failed."""

    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The stack answers, and Envoy runs the filter that it was given.

    Of the filter that comes with the sandbox `headers` were seen and the `token`'s signature was verified. Another one need not
    have any.
    """

    engine: str
    ingress_url: str
    bypass_url: str
    console_url: str
    envoy_version: str
    module: str
    module_sha256: str
    headers: Headers
    token: Token | None
    already: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Nothing of the stack is left. `was_running` is false where there was nothing to stop."""

    was_running: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line that a service wrote. `time_s` is seconds since the epoch, UTC, when it was read."""

    time_s: float
    service: str
    line: str
