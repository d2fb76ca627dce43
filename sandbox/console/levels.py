"""Envoy's log levels over HTTP: listed for everybody, changed with the project's token (`access.Gate`)."""

import json
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse

from sandbox.console.proxy import SILENCE_S
from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.errors import ConfigError

PATH = "/api/log-levels"
MAX_BODY_BYTES = 16_384


class Levels(BaseModel):
    """Log levels by logger; in a change, `all` stands for every logger that is not named."""

    levels: dict[str, str] = Field(examples=[{"wasm": "trace"}])


BODY: Mapping[str, Any] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": Levels.model_json_schema()}}}
}
"""For the description of the API: the body is read here, so that a wrong one gets an answer as all others do."""


async def list_levels(request: Request) -> JSONResponse:
    """Ask Envoy for the level of each of its loggers."""
    return await _answer(request, {})


async def change_levels(request: Request) -> JSONResponse:
    """Change the levels of some loggers, live; answers with those of all. Nothing is changed where one of them is wrong."""
    return await _answer(request, _parse(await _read(request)))


async def _answer(request: Request, changes: Mapping[str, str]) -> JSONResponse:
    client: AdminClient = request.app.state.admin
    try:
        levels = await client.log_levels(changes, timeout_s=SILENCE_S)
    except ConfigError as error:
        raise HTTPException(400, f"{error.message}: {error.hint}") from None
    except AdminError as error:
        raise HTTPException(504 if error.busy else 502, error.message) from None
    return JSONResponse({"levels": dict(levels)})


async def _read(request: Request) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BODY_BYTES:
            raise HTTPException(413, f"a change has at most {MAX_BODY_BYTES} bytes")
    return body


def _parse(body: bytes) -> dict[str, str]:
    try:
        value = json.loads(body)
        levels = value["levels"]
        if levels and isinstance(levels, dict) and all(isinstance(level, str) for level in levels.values()):
            return levels
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise HTTPException(400, 'a change is written as {"levels": {"wasm": "trace"}}')
