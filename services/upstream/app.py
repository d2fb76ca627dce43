"""The upstream as an application: the routes, the echo for every path they do not take, and the one error boundary.

It is data plane and keeps no state: a filter may rewrite Host and Origin to anything and must see them arrive, and
there is nothing here to protect. So, unlike the control plane, it checks neither.
"""

from http import HTTPStatus

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from services.upstream.limits import PARAMETERS, Refusal, RefusedError
from services.upstream.routes import METHODS, echo_response, healthz, router
from services.upstream.settings import Settings

DESCRIPTION = """Echoes every request as JSON, whatever its method and path, and misbehaves on request:
`/status`, `/delay`, `/response-headers`, `/bytes`, `/stream`. Every answer has a bound; beyond it the answer is
400 with `error` and `limit`."""


def create_app(settings: Settings) -> FastAPI:
    """Return the application."""
    echo = _Echo()
    app = FastAPI(
        # Not by include_router, which would build every route again at the first request. And the first request is the
        # probe: as a plain route it is answered before FastAPI's machinery is warm; the one of `router` documents it.
        routes=[Route("/healthz", healthz, methods=METHODS), Route("/anything", echo), *router.routes],
        title="Upstream",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        exception_handlers={
            RefusedError: _on_refused,
            RequestValidationError: _on_invalid,
            HTTPException: _on_http_error,
        },
    )
    app.state.settings = settings
    # Not a catch-all route: those match only paths that begin with a slash, and `OPTIONS *` has none.
    app.router.default = echo
    return app


class _Echo:
    # A class, because Starlette lets a plain function answer to GET alone and this to any method.
    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = await echo_response(Request(scope, receive))
        await response(scope, receive, send)


async def _on_refused(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RefusedError)
    return _render(error.refusal)


async def _on_invalid(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    name = str(error.errors()[0]["loc"][-1])
    return _render(Refusal(error=f"{name} is out of bounds", limit=PARAMETERS.get(name, "see /openapi.json")))


async def _on_http_error(_: Request, error: Exception) -> JSONResponse:
    # 405 is the one that happens, where a route of ours is asked for with an exotic method: 404 is the echo.
    assert isinstance(error, HTTPException)
    return _render(Refusal(error=str(error.detail), limit=", ".join(METHODS), status=error.status_code))


def _render(refusal: Refusal) -> JSONResponse:
    headers = {}
    if refusal.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["allow"] = refusal.limit
    if refusal.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        # The rest of the body is not waited for, so the connection can't serve another request.
        headers["connection"] = "close"
    return JSONResponse({"error": refusal.error, "limit": refusal.limit}, status_code=refusal.status, headers=headers)
