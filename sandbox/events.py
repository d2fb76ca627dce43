"""The frozen records that travel up: what happened, never how it looks."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sandbox.observe.exchange import Exchange
from sandbox.observe.headers import Headers
from sandbox.observe.panic import Block
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
class Progress:
    """How far an image is: `item` is its name, the same in all records about it. The first record has no bytes yet.

    `detail` is what is done now: a step of the build, or how many layers of the pull are there. Bytes are of what is downloaded,
    compressed, over all layers whose size is known by then: `total_bytes` can grow, and None means that none is. `finished` is
    the last record, and only comes when all went well. Of what goes into a bundle or comes out of one, bytes are of the file.
    """

    kind: Literal["pull", "build", "pack", "check", "load"]
    item: str
    detail: str
    done_bytes: int | None
    total_bytes: int | None
    finished: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The stack answers, with the filter's headers seen and the token's signature verified."""

    engine: str
    ingress_url: str
    bypass_url: str
    console_url: str
    envoy_version: str
    module: str
    module_sha256: str
    headers: Headers
    token: Token
    already: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Stopped:
    """Nothing of the stack is left. `was_running` is false where there was nothing to stop."""

    was_running: bool
    elapsed_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class BundlePart:
    """One thing in a bundle. `outcome` is what became of it: `packed`, `loaded`, `here already`, or why it was left."""

    name: str
    size_bytes: int
    outcome: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bundled:
    """A bundle was written, or what this machine can use of one is in its place."""

    file: str
    platform: str
    sandbox_version: str
    envoy_version: str
    parts: tuple[BundlePart, ...]
    total_bytes: int
    elapsed_s: float


EngineEvent = ServiceStarted | ServiceHealthy | ServiceExited | ServiceStopped | Progress
Event = EngineEvent | Step | Notice | Ready | Stopped | Bundled


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRecord:
    """One line that a service wrote. `time_s` is seconds since the epoch, UTC, when it was read."""

    time_s: float
    service: str
    line: str


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
class StatusReport:
    """The whole stack. `filter_live` is whether Envoy serves the very module that was given to it."""

    phase: str
    engine: str
    project: str
    crashed_at: float | None
    urls: Mapping[str, str]
    services: tuple[ServiceStatus, ...]
    filter_sha256: str | None
    filter_live: bool | None
    envoy: Mapping[str, Any]
    token_age_s: float | None
    problem: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """The head of an answer as the client got it, and what became of the request on its way.

    `filtered` is false on the way around the filter. `exchange` is None where nobody saw it, for the reason in `unseen_because`.
    `elapsed_s` is until the head was there.
    """

    method: str
    url: str
    http_version: str
    status: int
    reason: str
    request_headers: Headers
    headers: Headers
    elapsed_s: float
    exchange: Exchange | None
    unseen_because: str | None
    filtered: bool
    token: Token | None
    no_token_because: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A piece of the last answer's body, as it came."""

    data: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time of an answer went, body included: `envoy_s` in Envoy and the filter, `client_s` all outside of Envoy.

    The parts are None where Envoy's log did not say in time, `upstream_s` also where the upstream was not asked. `details` are
    Envoy's %RESPONSE_CODE_DETAILS%.
    """

    total_s: float
    client_s: float | None
    envoy_s: float | None
    upstream_s: float | None
    details: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TapState:
    """Whether the console sees exchanges: one of `share`, None while it is not `attached`. `reason` says what is wrong."""

    attached: bool
    share: int | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterState:
    """The filter that Envoy runs (its `version_text`), and how many updates it refused or could not read."""

    version: str | None
    rejected: int | None
    failed: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenState:
    """The filter's token: whole seconds of age, None before the first, and how many fetches ended how."""

    age_s: float | None
    fetches: Mapping[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """So many exchanges are missing here."""

    count: int
    because: str


Watched = Exchange | TapState | FilterState | TokenState | Dropped
"""What comes in the console's stream."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenFetched:
    """So many fetches of the token have ended in this way (`success`, `timeout`, `status`…). Seen at `time_s`, epoch, UTC."""

    time_s: float
    outcome: str
    count: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterSwapped:
    """Envoy runs another filter than before, by its `version_text`; None is none. Seen at `time_s`, epoch, UTC."""

    time_s: float
    version: str | None
    before: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterRefused:
    """Envoy did not take so many updates of the filter, or could not read them. Seen at `time_s`, epoch, UTC."""

    time_s: float
    count: int


Happened = TokenFetched | FilterSwapped | FilterRefused
"""What two states in a row say."""

Crash = Block[LogRecord]
"""The lines of a crash of the filter, put together."""

Told = TapState | FilterState | TokenState | Dropped | Happened | Crash
"""What goes on beside the exchanges."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that `doctor` looked at. `state` is `ok`, `warning` or `failed`; `fix` can be pasted."""

    name: str
    state: str
    detail: str
    fix: str = ""
