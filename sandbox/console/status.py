"""What the stack is doing, asked of everybody at once. Who does not answer in time is reported as such."""

import asyncio
import os
from typing import TYPE_CHECKING

from pydantic import BaseModel, Field

from sandbox.envoy import admin
from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.envoy.stage import Stage
from sandbox.stack import FILTER_NAME

if TYPE_CHECKING:
    import httpx2

PATIENCE_S = 0.8
"""Long for a healthy part (milliseconds), and short enough that somebody watches the answer come."""

UNREACHABLE = "unreachable"
BUSY = "busy"


class EnvoyStatus(BaseModel):
    """Envoy, by its own word."""

    state: str = Field(
        description="As Envoy says it (`LIVE`, `DRAINING`, `PRE_INITIALIZING`, `INITIALIZING`), `unreachable` when it "
        "does not run, `busy` when its admin interface does not answer in time, as while it compiles a module",
        examples=["LIVE"],
    )
    version: str | None = Field(examples=["1.40.0"])
    uptime_s: float | None
    workers: int | None
    detail: str | None = Field(description="Why there is no answer")


class ServiceStatus(BaseModel):
    """A service that Envoy calls."""

    ready: bool
    detail: str = Field(description="The HTTP status of its health check, or why there is none", examples=["200"])


class WantedFilter(BaseModel):
    """The filter that Envoy was given last and took, and what its configuration says that it injects."""

    version: str
    origin: str = Field(description="Where it came from, for people", examples=["tinygo"])
    since_s: float = Field(description="When it went live, seconds since the epoch")
    inject: str = Field(examples=["response"])
    token_header: str
    marker_header: str
    tick_s: float | None
    fetches_before: dict[str, int] = Field(description="How many fetches had ended how, when it went live")


class FilterStatus(BaseModel):
    """The filter that Envoy runs. Null: Envoy did not say."""

    name: str
    version: str | None = Field(
        description="Envoy's `version_text`: SHA-256 of the module, a dash, 12 digits of its configuration"
    )
    module_sha256: str | None
    rejected: int | None = Field(description="Updates that Envoy refused since it started")
    failed: int | None = Field(description="Updates that Envoy could not even read")
    wanted: WantedFilter | None = Field(description="The one that it is to run; null where nothing was laid out for Envoy here")


class TokenStatus(BaseModel):
    """The filter's token, by the filter's own metrics; never the token itself."""

    age_s: float | None = Field(description="Whole seconds, as of the filter's last tick; null before the first token")
    fetches: dict[str, int] = Field(description="How many fetches ended how since Envoy started", examples=[{"success": 3}])


class Status(BaseModel):
    """The whole stack."""

    envoy: EnvoyStatus
    services: dict[str, ServiceStatus]
    filter: FilterStatus
    token: TokenStatus


async def gather_status(client: AdminClient, http: "httpx2.AsyncClient", services: dict[str, str], stage: Stage) -> Status:
    """Ask Envoy and every service (name to URL), for `PATIENCE_S` at most. What does not answer is no error here."""
    envoy, (filter_, token), answers = await asyncio.gather(
        _ask_envoy(client),
        _ask_filter(client, _wanted(stage)),
        asyncio.gather(*(_ask_service(http, url) for url in services.values())),
    )
    return Status(envoy=envoy, services=dict(zip(services, answers, strict=True)), filter=filter_, token=token)


async def _ask_envoy(client: AdminClient) -> EnvoyStatus:
    try:
        info = admin.parse_server_info(await client.read("/server_info", timeout_s=PATIENCE_S))
    except AdminError as error:
        state = BUSY if error.busy else UNREACHABLE
        return EnvoyStatus(state=state, version=None, uptime_s=None, workers=None, detail=error.message)
    return EnvoyStatus(state=info.state, version=info.version, uptime_s=info.uptime_s, workers=info.workers, detail=None)


def _wanted(stage: Stage) -> WantedFilter | None:
    history = stage.read_history()
    if history is None:
        return None
    live = history.live
    return WantedFilter(
        version=live.version,
        origin=live.origin,
        since_s=live.since_s,
        inject=live.injected.where,
        token_header=live.injected.token_header,
        marker_header=live.injected.marker_header,
        tick_s=live.injected.tick_s,
        fetches_before=dict(live.fetches_before),
    )


async def _ask_filter(client: AdminClient, wanted: WantedFilter | None) -> tuple[FilterStatus, TokenStatus]:
    query = {"format": "json", "filter": admin.FILTER_STATS}
    try:
        stats = await client.read("/stats", timeout_s=PATIENCE_S, query=query)
    except AdminError:
        stats = b""
    facts = admin.parse_filter(admin.parse_stats(stats))
    return (
        FilterStatus(
            name=FILTER_NAME,
            version=facts.version,
            module_sha256=facts.module_sha256,
            rejected=facts.rejected,
            failed=facts.failed,
            wanted=wanted,
        ),
        TokenStatus(age_s=facts.token_age_s, fetches=dict(facts.fetches)),
    )


async def _ask_service(http: "httpx2.AsyncClient", url: str) -> ServiceStatus:
    import httpx2

    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await http.get(f"{url}/healthz")
    except TimeoutError:
        return ServiceStatus(ready=False, detail=f"no answer within {PATIENCE_S:g} s")
    except httpx2.TransportError as error:
        return ServiceStatus(ready=False, detail=_reason(error))
    return ServiceStatus(ready=answer.status_code == 200, detail=str(answer.status_code))


def _reason(error: BaseException) -> str:
    # Layers of clients wrap what the system said; the innermost is the plainest.
    reason = "not reachable"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno:
            reason = os.strerror(cause.errno) if cause.errno > 0 else str(cause.strerror)
        cause = cause.__cause__ or cause.__context__
    return reason.lower()
