"""The filter over HTTP: which versions there are, and with the project's token (`access.Gate`) another one, or an earlier one.

A module is uploaded under its content hash, then named: so a change of configuration carries no module, and nobody's file system
is shared.
"""

import hashlib
import time
from collections.abc import Awaitable
from typing import Any, TypeVar

from fastapi import APIRouter
from pydantic import BaseModel, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from sandbox.console.filter_bodies import MODULE_BODY, SHA256, Back, Change, Done, Versions, body_of
from sandbox.console.responses import NO_ANSWER, OF_CHANGE, Problem
from sandbox.console.swapping import BusyError, GoneError, NoVersionError, Swap, Swapper
from sandbox.envoy.history import FilterVersion, History
from sandbox.envoy.resource import check_module, render_filter
from sandbox.envoy.stage import Stage
from sandbox.errors import ConfigError, PreconditionError, SandboxError
from sandbox.stack import MAX_MODULE_BYTES
from sandbox.workspace import RUN_MODULES

PATH = "/api/filter"
MODULE_PATH = "/api/filter/modules/{sha256}"
ROLLBACK_PATH = "/api/filter/rollback"
INDEX = {
    PATH: "The filters that Envoy took; POST makes another one live, with the project's token",
    MODULE_PATH: "PUT uploads a module for that, with the project's token",
    ROLLBACK_PATH: "POST goes back to a filter that was live before, with the project's token",
}
MAX_BODY_BYTES = 1024 * 1024

Model = TypeVar("Model", bound=BaseModel)


async def list_versions(request: Request) -> JSONResponse:
    """Which filters Envoy took since the stack was made, as far as they can be gone back to."""
    history = _history(request)
    return JSONResponse({"versions": [_describe(version, history) for version in history.versions]})


def _describe(version: FilterVersion, history: History) -> dict[str, Any]:
    return {
        "version": version.version,
        "module_bytes": version.module_bytes,
        "origin": version.origin,
        "since_s": version.since_s,
        "parked": version.module_sha256 in {*history.parked, history.live.module_sha256},
    }


async def upload_module(request: Request) -> JSONResponse:
    """Take a module; it is not live by that. Answers 200 when it was there already."""
    sha256 = request.path_params["sha256"]
    stage: Stage = request.app.state.stage
    if not SHA256.fullmatch(sha256):
        raise HTTPException(404)
    if stage.has_module(sha256):
        return JSONResponse({"module": sha256})
    module = await _read(request, MAX_MODULE_BYTES, "a module")
    try:
        if check_module(module) != sha256:
            raise HTTPException(400, f"the body's SHA-256 is {hashlib.sha256(module).hexdigest()}, not the path's")
        stage.write_module(sha256, module)
    except ConfigError as error:
        raise HTTPException(400, error.message) from None
    except PreconditionError as error:
        raise HTTPException(507, error.message) from None
    return JSONResponse({"module": sha256}, status_code=201)


async def change_filter(request: Request) -> JSONResponse:
    """Make another filter live, and tell when it is, or that Envoy refused it."""
    change = await _parse(request, Change)
    stage: Stage = request.app.state.stage

    def make(history: History) -> FilterVersion:
        live = history.live
        sha256 = change.module or live.module_sha256
        if not stage.has_module(sha256):
            raise HTTPException(409, f"there is no module {sha256}; PUT it to {MODULE_PATH.format(sha256=sha256)} first")
        text = live.text if change.resource is None else change.resource
        try:
            resource = render_filter(text, sha256, "filter.yaml", modules_folder=RUN_MODULES, configuration=change.configuration)
        except ConfigError as error:
            raise HTTPException(400, error.message) from None
        return FilterVersion(
            version=resource.version,
            module_bytes=stage.module_bytes(sha256),
            module_origin=(change.module_origin or "?") if change.module else live.module_origin,
            configured_by=live.configured_by if change.configured_by is None else change.configured_by,
            since_s=time.time(),
            text=resource.text.decode(),
            injected=resource.injected,
        )

    return await _answer(_swapper(request).swap(make))


async def roll_back(request: Request) -> JSONResponse:
    """Make a version live that was live before."""
    back = await _parse(request, Back)
    return await _answer(_swapper(request).roll_back(back.version))


def _swapper(request: Request) -> Swapper:
    swapper: Swapper = request.app.state.swapper
    return swapper


def _history(request: Request) -> History:
    stage: Stage = request.app.state.stage
    history = stage.read_history()
    if history is None:
        raise HTTPException(502, "nothing was laid out for Envoy here")
    return history


async def _answer(swapping: Awaitable[Swap]) -> JSONResponse:
    try:
        done = await swapping
    except GoneError as error:
        return _problem(502, error)
    except BusyError as error:
        return _problem(503, error)
    except NoVersionError as error:
        return _problem(422, error)
    except PreconditionError as error:
        return _problem(507, error)
    return JSONResponse(
        {
            "outcome": done.outcome,
            "version": done.version.version,
            "before": done.before,
            "origin": done.version.origin,
            "laid_at_s": done.laid_at_s,
            "elapsed_s": done.elapsed_s,
        }
    )


def _problem(status: int, error: SandboxError) -> JSONResponse:
    return JSONResponse({"error": error.message, "hint": error.hint}, status_code=status)


async def _read(request: Request, max_bytes: int, what: str) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > max_bytes:
            raise HTTPException(413, f"{what} has at most {max_bytes} bytes")
    return bytes(body)


async def _parse(request: Request, model: type[Model]) -> Model:
    body = await _read(request, MAX_BODY_BYTES, "a change")
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the body"
        raise HTTPException(400, f"{where} can't be understood: {first['msg']}") from None


_OF_FILTER = (
    OF_CHANGE
    | NO_ANSWER
    | {
        503: {"model": Problem, "description": "Another swap is under way"},
        507: {"model": Problem, "description": "It can't be written where Envoy looks for it"},
    }
)


def register(router: APIRouter) -> None:
    """Add the routes."""
    router.add_api_route(
        PATH,
        list_versions,
        methods=["GET"],
        summary="The filters that Envoy took",
        responses=NO_ANSWER | {200: {"model": Versions}},
    )
    router.add_api_route(
        PATH,
        change_filter,
        methods=["POST"],
        summary="Make another filter live",
        responses=_OF_FILTER | {200: {"model": Done}, 409: {"model": Problem, "description": "The module was not uploaded yet"}},
        openapi_extra=body_of(Change),
    )
    router.add_api_route(
        ROLLBACK_PATH,
        roll_back,
        methods=["POST"],
        summary="Make a filter live that was live before",
        responses=_OF_FILTER | {200: {"model": Done}, 422: {"model": Problem, "description": "There is no such version"}},
        openapi_extra=body_of(Back),
    )
    router.add_api_route(
        MODULE_PATH,
        upload_module,
        methods=["PUT"],
        summary="Upload a module under its content hash",
        responses=_OF_FILTER | {201: {"description": "Taken"}},
        openapi_extra=MODULE_BODY,
    )
