"""Signed tokens: which claims they carry and how they are signed. No HTTP."""

import time
import uuid
from dataclasses import dataclass, field

from joserfc import jwt

from services.jwt_api.keys import ALGORITHM, SigningKey
from services.jwt_api.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class IssuedToken:
    """One token and what may be told about it. `repr` hides the token itself."""

    token: str = field(repr=False)
    kid: str
    jti: str
    issued_at: int
    expires_at: int


def issue_token(settings: Settings, key: SigningKey, now_s: float | None = None) -> IssuedToken:
    """Sign a new token, valid from `now_s` (Unix seconds, wall clock) for `settings.ttl_s`.

    Source: RFC 7519 section 4.1 for the claims, RFC 7518 section 3.4 for ES256.
    """
    issued_at = int(time.time() if now_s is None else now_s)
    jti = str(uuid.uuid4())
    claims: dict[str, str | int] = {
        "iss": settings.issuer,
        "sub": settings.subject,
        "aud": settings.audience,
        "iat": issued_at,
        "exp": issued_at + settings.ttl_s,
        "jti": jti,
    }
    token = jwt.encode({"typ": "JWT", "alg": ALGORITHM, "kid": key.kid}, claims, key.pair)
    return IssuedToken(token=token, kid=key.kid, jti=jti, issued_at=issued_at, expires_at=issued_at + settings.ttl_s)
