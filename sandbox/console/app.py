"""The HTTP face of the console."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import Annotated, Any

from fastapi import APIRouter, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from sandbox.console import filters
from sandbox.console.access import READ_METHODS, Gate, find_token_refusal, load_token
from sandbox.console.clients import open_clients
from sandbox.console.levels import BODY, Levels, change_levels, list_levels
from sandbox.console.levels import PATH as LEVELS_PATH
from sandbox.console.proxy import OFFERED, WITHHELD, AdminPage
from sandbox.console.responses import NO_ANSWER, OF_CHANGE, REFUSALS, TOO_LATE, Problem
from sandbox.console.settings import Settings
from sandbox.console.status import PATIENCE_S, Status, gather_status
from sandbox.stack import JWT_API, UPSTREAM

DESCRIPTION = """What the stack is doing, and Envoy's admin pages as far as they change nothing.

Only requests for a known `Host` that do not come from a page of another site are answered."""


class Health(BaseModel):
    """The console answers."""

    status: str = Field(examples=["ok"])


class Index(BaseModel):
    """What there is."""

    console: dict[str, str] = Field(description="Path to what is found there")
    envoy: dict[str, str] = Field(description="Envoy's own pages: path to what is found there")


_EXCHANGES_PATH = "/api/exchanges"
_CONSOLE = {
    "/": "This list",
    _EXCHANGES_PATH: "Every request through the ingress, before and after the filter, as it happens (server-sent events)",
    "/api/jwks": "The public keys of the JWT API",
    **filters.INDEX,
    LEVELS_PATH: "Envoy's log levels; POST changes them, with the project's token",
    "/api/status": "What Envoy, the filter, its token and the services are doing",
    "/healthz": "Whether the console answers",
    "/openapi.json": "All of this for programs",
}

router = APIRouter(responses=REFUSALS)


@router.get("/", summary="What there is", responses={200: {"model": Index}})
async def index(_: Request) -> JSONResponse:
    """List the paths."""
    return JSONResponse({"console": _CONSOLE, "envoy": dict(OFFERED)})


@router.get("/healthz", summary="Whether the console answers", responses={200: {"model": Health}})
async def healthz(_: Request) -> JSONResponse:
    """Answer 200, whatever Envoy does."""
    return JSONResponse({"status": "ok"})


@router.get("/api/status", summary="What the stack is doing", responses={200: {"model": Status}})
async def status(request: Request) -> JSONResponse:
    """Ask Envoy and the services at once, for 0.8 s at most. Always 200: what does not answer is reported as that."""
    state = request.app.state
    settings: Settings = state.settings
    services = {JWT_API.name: settings.jwt_api_url, UPSTREAM.name: settings.upstream_url}
    return JSONResponse((await gather_status(state.admin, state.http, services, state.stage)).model_dump())


@router.get("/api/jwks", summary="The JWT API's public keys", responses=NO_ANSWER)
async def jwks(request: Request) -> Response:
    """Pass the JWK set on, so that a token can be verified without reaching the JWT API itself."""
    import httpx2

    settings: Settings = request.app.state.settings
    try:
        async with asyncio.timeout(PATIENCE_S):
            answer = await request.app.state.http.get(f"{settings.jwt_api_url}/.well-known/jwks.json")
    except TimeoutError:
        raise HTTPException(502, f"the JWT API did not answer within {PATIENCE_S:g} s") from None
    except httpx2.TransportError:
        raise HTTPException(502, "the JWT API can't be reached") from None
    if answer.status_code != 200:
        raise HTTPException(502, f"the JWT API answered {answer.status_code}")
    return Response(answer.content, media_type="application/json")


class _Endless(StreamingResponse):
    """What it is made of ends with it, and not when the garbage is collected."""

    def __init__(self, texts: AsyncGenerator[bytes], *, media_type: str) -> None:
        super().__init__(texts, media_type=media_type)
        self._texts = texts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._texts):
            await super().__call__(scope, receive, send)


@router.get(
    _EXCHANGES_PATH,
    summary="Every request through the ingress, before and after the filter, as it happens",
    response_class=StreamingResponse,
    responses={
        200: {"content": {"text/event-stream": {}}},
        401: {"model": Problem, "description": "Not the project's token"},
        422: {"model": Problem, "description": "A parameter can't be understood"},
    },
)
async def exchanges(
    request: Request,
    since: Annotated[float | None, Query(description="Begin with what is kept since then, in seconds since the epoch")] = None,
    secrets: Annotated[bool, Query(description="Show tokens in full, which needs the project's token")] = False,
) -> Response:
    """Server-sent events: `exchange` (docs/exchange.schema.json), `tap`, `filter`, `token`, `dropped`; never an end.

    The taps are attached as long as somebody watches. A viewer that is slow loses the oldest and is told how many.
    """
    settings: Settings = request.app.state.settings
    if secrets:
        token = load_token(settings.token_file)
        refusal = find_token_refusal(request.scope["headers"], token, purpose="seeing tokens in full")
        if refusal:
            raise HTTPException(refusal.status, refusal.reason, {"www-authenticate": "Bearer"})

    async def texts() -> AsyncGenerator[bytes]:
        async with request.app.state.exchanges.watch(since_s=since, secrets=secrets) as viewer, aclosing(viewer.texts()) as some:
            async for text in some:
                yield text

    return _Endless(texts(), media_type="text/event-stream")


_OF_LEVELS: dict[int | str, dict[str, Any]] = {200: {"model": Levels}} | NO_ANSWER | TOO_LATE
router.add_api_route(LEVELS_PATH, list_levels, methods=["GET"], summary="Envoy's log levels", responses=_OF_LEVELS)
router.add_api_route(
    LEVELS_PATH,
    change_levels,
    methods=["POST"],
    summary="Change Envoy's log levels, live",
    responses=_OF_LEVELS | OF_CHANGE,
    openapi_extra=dict(BODY),
)


filters.register(router)


def _page(path: str) -> Callable[[Request], Awaitable[AdminPage]]:
    async def page(request: Request) -> AdminPage:
        if request.scope["raw_path"] != path.encode():  # no alias by percent-encoding
            raise HTTPException(404)
        return AdminPage(request.app.state.admin, path, request)

    return page


for _path, _summary in OFFERED.items():
    router.add_api_route(
        _path,
        _page(_path),
        methods=["GET"],
        summary=_summary,
        description="Envoy's own page; its query parameters are in `/help`.",
        tags=["envoy"],
        response_class=Response,
        responses=NO_ANSWER | TOO_LATE,
    )


def create_app(settings: Settings) -> FastAPI:
    """Return the application. Nothing is asked of anybody before the first request."""
    # HEAD is GET without the body: a plain route does that, and FastAPI's own documents it. What never ends has no HEAD.
    readable = [route for route in router.routes if isinstance(route, Route) and "GET" in (route.methods or ())]
    heads = [Route(route.path, route.endpoint, methods=["HEAD"]) for route in readable if route.path != _EXCHANGES_PATH]
    app = FastAPI(
        # Not by include_router, which would build every route again at the first request. And the first request is the
        # probe: as a plain route it is answered before FastAPI's machinery is warm; the one of `router` documents it.
        routes=[Route("/healthz", healthz), *router.routes, *heads],
        title="Console",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=open_clients,
        middleware=[Middleware(Gate, allowed_hosts=settings.allowed_hosts, token_file=settings.token_file)],
        exception_handlers={HTTPException: _problem, RequestValidationError: _misunderstood},
    )
    app.state.settings = settings
    return app


async def _problem(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    reason = str(error.detail)
    path = request.scope["path"]
    if path in WITHHELD:
        reason = f"{path} {WITHHELD[path]}"
    elif error.status_code == 404:
        reason = "there is nothing at this path; GET / lists what there is"
    elif error.status_code == 405 and path in (LEVELS_PATH, filters.PATH):
        reason = f"only {', '.join(READ_METHODS)} and POST are served here"
    elif error.status_code == 405 and path == filters.ROLLBACK_PATH:
        reason = "only POST is served here"
    elif error.status_code == 405 and path.startswith(f"{filters.PATH}/"):
        reason = "only PUT is served here"
    elif error.status_code == 405 and path == _EXCHANGES_PATH:
        reason = "only GET is served here: it never ends, and nothing at this path changes anything"
    elif error.status_code == 405:
        reason = f"only {' and '.join(READ_METHODS)} are served here: nothing at this path changes anything"
    return JSONResponse({"error": reason}, status_code=error.status_code, headers=error.headers)


async def _misunderstood(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return JSONResponse({"error": f"the parameter {first['loc'][-1]} can't be understood: {first['msg']}"}, status_code=422)
