"""What the upstream does when asked to: a status, a delay, headers, bytes, a stream, or the echo."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Coroutine
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import BaseModel, Field

from services.upstream import limits
from services.upstream.echo import BodyTooLargeError, read_body, render_echo
from services.upstream.headers import parse_response_headers
from services.upstream.limits import Refusal, RefusedError
from services.upstream.settings import Settings

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")

Endpoint = TypeVar("Endpoint", bound=Callable[..., Coroutine[Any, Any, Response]])

StatusCode = Annotated[int, Path(ge=limits.MIN_STATUS, le=limits.MAX_STATUS, description="The status to answer with")]
Seconds = Annotated[float, Path(ge=0, le=limits.MAX_DELAY_S, allow_inf_nan=False, description="How long to wait")]
Size = Annotated[int, Path(ge=0, le=limits.MAX_BYTES, description="Length of the body in bytes")]
Lines = Annotated[int, Path(ge=0, le=limits.MAX_LINES, description="Number of lines")]
IntervalMs = Annotated[int, Query(ge=0, le=limits.MAX_INTERVAL_MS, description="Pause before each line but the first")]


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="What is wrong", examples=["size is out of bounds"])
    limit: str = Field(description="What would be accepted", examples=["whole number, 0 to 1048576"])


class EchoQuery(BaseModel):
    """The query of a request."""

    raw: str = Field(description="As on the wire, without the question mark")
    pairs: list[tuple[str, str]] = Field(description="Decoded, in order, with duplicates")


class EchoBody(BaseModel):
    """The body of a request, up to a limit."""

    encoding: str = Field(description="`utf-8` or `base64`, of `data`")
    data: str
    total_bytes: int = Field(description="Length of the whole body")
    kept_bytes: int = Field(description="How many of them are in `data`")
    truncated: bool


class Echo(BaseModel):
    """A request as it arrived."""

    method: str
    path: str = Field(description="As on the wire, percent-encoded")
    query: EchoQuery
    http_version: str
    headers: list[tuple[str, str]] = Field(description="In order, lower-case names, duplicates kept")
    body: EchoBody


class Health(BaseModel):
    """The service answers."""

    status: str = Field(examples=["ok"])


# "4XX" also keeps FastAPI from announcing a 422, which never leaves this service.
router = APIRouter(responses={"4XX": {"model": Problem, "description": "Refused: beyond a limit"}})


def any_method(path: str, **facts: Any) -> Callable[[Endpoint], Endpoint]:
    """Route `path` for every common method, and document GET alone: the others do the same."""

    def register(endpoint: Endpoint) -> Endpoint:
        router.add_api_route(path, endpoint, methods=["GET"], response_model=None, **facts)
        router.add_api_route(path, endpoint, methods=list(METHODS[1:]), response_model=None, include_in_schema=False)
        return endpoint

    return register


@any_method("/healthz", summary="Whether the service answers", responses={200: {"model": Health}})
async def healthz(_: Request) -> JSONResponse:
    """Answer 200."""
    return JSONResponse({"status": "ok"})


@any_method(
    "/status/{code}",
    summary="Answer with a status",
    responses={
        "default": {"description": "As asked for"},
        "4XX": {"description": "As asked for; or 400 with `error` and `limit`, if it is no status"},
    },
)
async def status(code: StatusCode) -> Response:
    """Answer with the given status and a small JSON body, where the status allows a body."""
    if code in {204, 205, 304}:
        return Response(status_code=code)
    return JSONResponse({"status": code}, status_code=code)


@any_method("/delay/{seconds}", summary="Answer late", responses={200: {"model": Echo}})
async def delay(request: Request, seconds: Seconds) -> Response:
    """Read the request, wait, then answer with its echo."""
    content = await render_request(request)
    await asyncio.sleep(seconds)
    return _echo_response(content)


@any_method(
    "/response-headers",
    summary="Answer with headers",
    openapi_extra={
        "parameters": [
            {
                "name": "headers",
                "in": "query",
                "description": "Every name and value becomes a header, in order; a name may come twice",
                "style": "form",
                "explode": True,
                "schema": {
                    "type": "object",
                    "propertyNames": {"pattern": r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}$"},
                    "additionalProperties": {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]*$"},
                },
            }
        ]
    },
)
async def response_headers(request: Request) -> Response:
    """Set each `name=value` of the query as a response header. The body tells their names, never their values."""
    wanted = parse_response_headers(bytes(request.scope["query_string"]))
    names = [name.decode("ascii") for name, _ in wanted]
    response = JSONResponse({"headers": names})
    if "content-type" in names:
        del response.headers["content-type"]
    response.raw_headers.extend(wanted)
    return response


@any_method(
    "/bytes/{size}",
    summary="Answer with bytes",
    responses={200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}},
    response_class=Response,
)
async def some_bytes(size: Size) -> Response:
    """Answer with the bytes 0 to 255 over and over: the same ones for the same size."""
    return Response((bytes(range(256)) * (size // 256 + 1))[:size], media_type="application/octet-stream")


@any_method(
    "/stream/{lines}",
    summary="Answer in pieces",
    responses={200: {"content": {"application/x-ndjson": {"schema": {"type": "string"}}}}},
    response_class=Response,
)
async def stream(request: Request, lines: Lines, interval_ms: IntervalMs = 0) -> Response:
    """Send lines of JSON one by one, each as a piece of its own, with a pause between them if asked to."""
    if max(lines - 1, 0) * interval_ms > limits.MAX_STREAM_S * 1000:
        raise RefusedError(Refusal(error="the stream would take too long", limit=f"{limits.MAX_STREAM_S} s in all"))
    if request.method == "HEAD":
        lines = 0  # the headers of a stream, without waiting for its lines
    return StreamingResponse(_ndjson(lines, interval_ms / 1000), media_type="application/x-ndjson")


@any_method("/anything", summary="Echo the request", responses={200: {"model": Echo}})
async def anything(request: Request) -> Response:
    """Answer with the request as it arrived. Every other path does the same, with any method."""
    return await echo_response(request)


async def echo_response(request: Request) -> Response:
    """Answer with the echo of `request`.

    Raises: RefusedError.
    """
    return _echo_response(await render_request(request))


async def render_request(request: Request) -> bytes:
    """Read the whole request and render its echo.

    Raises: RefusedError.
    """
    if request.method == "CONNECT":  # a 200 would turn the connection into a tunnel
        raise RefusedError(Refusal(error="CONNECT is not served", limit=", ".join(METHODS), status=405))
    settings: Settings = request.app.state.settings
    try:
        body = await read_body(request.scope, request.receive, kept_bytes=settings.kept_bytes, max_bytes=settings.max_body_bytes)
    except BodyTooLargeError:
        limit = f"{settings.max_body_bytes} bytes"
        raise RefusedError(Refusal(error="the body is too large", limit=limit, status=413)) from None
    return render_echo(request.scope, body)


def _echo_response(content: bytes) -> Response:
    # nosniff, because the content is the caller's: no browser may take it for a page.
    return Response(content, media_type="application/json", headers={"x-content-type-options": "nosniff"})


async def _ndjson(lines: int, interval_s: float) -> AsyncIterator[bytes]:
    for number in range(lines):
        if number:
            await asyncio.sleep(interval_s)
        yield json.dumps({"line": number, "of": lines}).encode() + b"\n"
