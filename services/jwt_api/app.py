"""The HTTP face of the JWT API."""

from datetime import UTC, datetime
from logging import getLogger
from typing import Any

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.routing import Route

from services.jwt_api.hosts import HostGate
from services.jwt_api.keys import SigningKey, load_or_make_key, make_key
from services.jwt_api.settings import Settings
from services.jwt_api.tokens import issue_token

JWKS_MAX_AGE_S = 60
DESCRIPTION = """Hands out short-lived signed tokens, and publishes the key that verifies them.

Only requests for a known `Host` and without a foreign `Origin` are answered: a web page that somebody
happens to visit must not be able to ask a service on this machine for a token."""

_log = getLogger("jwt-api")


class Problem(BaseModel):
    """Why a request was refused."""

    error: str = Field(description="One sentence for a person", examples=["this Host is not served here"])


class TokenFacts(BaseModel):
    """What may be told about a token. The token itself is only in the `authorization` header."""

    subject: str = Field(description="Claim `sub`", examples=["envoy"])
    issuer: str = Field(description="Claim `iss`", examples=["http://jwt-api"])
    audience: str = Field(description="Claim `aud`", examples=["upstream"])
    issued_at: datetime = Field(description="Claim `iat`")
    expires_at: datetime = Field(description="Claim `exp`")
    expires_in_s: int = Field(description="Seconds from `iat` to `exp`", examples=[300])
    token_id: str = Field(description="Claim `jti`, new for each token")
    key_id: str = Field(description="Which key of the JWKS verifies it")


class PublicKey(BaseModel):
    """The public part of the signing key, RFC 7517."""

    kty: str = Field(examples=["EC"])
    crv: str = Field(examples=["P-256"])
    x: str
    y: str
    use: str = Field(examples=["sig"])
    alg: str = Field(examples=["ES256"])
    kid: str = Field(description="RFC 7638 thumbprint")


class KeySet(BaseModel):
    """A JWK set, RFC 7517 section 5."""

    keys: list[PublicKey]


class Health(BaseModel):
    """The service answers."""

    status: str = Field(examples=["ok"])


_REFUSALS: dict[int | str, dict[str, Any]] = {
    400: {"model": Problem, "description": "No Host header, or a malformed one"},
    403: {"model": Problem, "description": "The request comes from a page of another origin"},
    421: {"model": Problem, "description": "The Host is not one that is served here"},
}
_BEARER = {
    "authorization": {
        "description": "`Bearer` and a JWT, signed with ES256; its header carries `kid` and `typ: JWT`",
        "required": True,
        "schema": {"type": "string", "pattern": r"^Bearer [\w-]+\.[\w-]+\.[\w-]+$"},
    }
}

router = APIRouter(responses=_REFUSALS)


@router.get(
    "/auth",
    summary="Issue a token",
    response_description="A new token in the `authorization` header, and facts about it in the body",
    responses={200: {"model": TokenFacts, "headers": _BEARER}},
)
async def auth(request: Request) -> JSONResponse:
    """Sign a new token. Every call gives another one; nothing is stored, and nothing can be revoked."""
    settings: Settings = request.app.state.settings
    key: SigningKey = request.app.state.key
    issued = issue_token(settings, key)
    facts = {
        "subject": settings.subject,
        "issuer": settings.issuer,
        "audience": settings.audience,
        "issued_at": _render_time(issued.issued_at),
        "expires_at": _render_time(issued.expires_at),
        "expires_in_s": settings.ttl_s,
        "token_id": issued.jti,
        "key_id": issued.kid,
    }
    return JSONResponse(facts, headers={"authorization": f"Bearer {issued.token}", "cache-control": "no-store"})


@router.get(
    "/.well-known/jwks.json",
    summary="The public key",
    response_description="The key that verifies every token of `/auth`",
    responses={200: {"model": KeySet}},
)
async def jwks(request: Request) -> JSONResponse:
    """Return the JWK set. It may be cached for a minute; an unknown `kid` is the reason to fetch it anew."""
    key: SigningKey = request.app.state.key
    return JSONResponse({"keys": [key.render_public_jwk()]}, headers={"cache-control": f"public, max-age={JWKS_MAX_AGE_S}"})


@router.get("/healthz", summary="Whether the service answers", responses={200: {"model": Health}})
async def healthz(_: Request) -> JSONResponse:
    """Answer 200 as soon as tokens can be issued: the key is loaded before the service listens."""
    return JSONResponse({"status": "ok"})


def create_app(settings: Settings) -> FastAPI:
    """Load or make the signing key and return the application.

    Raises: KeyFileError.
    """
    # No Swagger page: it would run a script from another host in the one origin that may ask for tokens.
    app = FastAPI(
        # Not by include_router, which would build every route again at the first request. And the first request is the
        # probe: as a plain route it is answered before FastAPI's machinery is warm; the one of `router` documents it.
        routes=[Route("/healthz", healthz), *router.routes],
        title="JWT API",
        version="1",
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        middleware=[Middleware(HostGate, allowed_hosts=settings.allowed_hosts)],
        exception_handlers={HTTPException: _problem},
    )
    app.state.settings = settings
    if settings.key_file is None:
        app.state.key = make_key()
        _log.info("made a signing key in memory, kid %s; JWT_API_KEY_FILE would keep one", app.state.key.kid)
    else:
        app.state.key = load_or_make_key(settings.key_file)
    return app


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    return JSONResponse({"error": str(error.detail)}, status_code=error.status_code, headers=error.headers)


def _render_time(unix_s: int) -> str:
    return datetime.fromtimestamp(unix_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
