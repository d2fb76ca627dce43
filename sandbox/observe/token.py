"""A token as a person reads it: decoded, and its signature checked against the JWKS."""

import base64
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Token:
    """A decoded JWT; `value` is how it arrived.

    `verified` is None when there was no key set to check it with; `problem` says what is wrong. `expires_in_s` is negative
    for an expired token and None for one without `exp`.
    """

    value: str = field(repr=False)
    algorithm: str
    key_id: str
    subject: str
    issuer: str
    expires_in_s: float | None
    verified: bool | None
    problem: str = ""


def decode_token(value: str, jwks: Mapping[str, Any] | None) -> Token | None:
    """Decode `[Bearer ]<JWT>` and check its signature; None when it is no JWT. Expiry does not make it unverified."""
    compact = value.removeprefix("Bearer ").strip()
    try:
        header_part, claims_part, _ = compact.split(".")
        header, claims = _object(header_part), _object(claims_part)
        algorithm, key_id = _text(header, "alg"), _text(header, "kid")
        subject, issuer = _text(claims, "sub"), _text(claims, "iss")
    except (ValueError, RecursionError):
        return None
    verified, problem = (None, "no key set to check it with") if jwks is None else _verify(compact, jwks)
    return Token(
        value=value,
        algorithm=algorithm,
        key_id=key_id,
        subject=subject,
        issuer=issuer,
        expires_in_s=_seconds_until(claims.get("exp")),
        verified=verified,
        problem=problem,
    )


def describe_life(seconds: float | None) -> str:
    """How long a token still lives, in words."""
    if seconds is None or not math.isfinite(seconds):
        return "never expires"
    if seconds <= 0:
        return f"expired {-seconds:.0f} s ago"
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest:02} s left" if minutes else f"{rest} s left"


def _object(part: str) -> dict[str, Any]:
    value = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    if isinstance(value, dict):
        return value
    raise ValueError("not an object")


def _text(value: Mapping[str, Any], key: str) -> str:
    """Half of a surrogate pair, which JSON can spell, can't be printed: a question mark stands for it."""
    return str(value.get(key, "")).encode(errors="replace").decode()


def _seconds_until(expires: object) -> float | None:
    """None for what is no time."""
    try:
        seconds = float(expires) - time.time() if isinstance(expires, int | float) else math.nan
    except OverflowError:
        return None
    return seconds if math.isfinite(seconds) else None


def _verify(compact: str, jwks: Mapping[str, Any]) -> tuple[bool, str]:
    from joserfc import jwt
    from joserfc.jwk import KeySet

    try:
        jwt.decode(compact, KeySet.import_key_set(dict(jwks)), algorithms=["ES256", "RS256"])  # type: ignore[arg-type]
    except Exception as error:  # it is anybody's, and so is the key set: whatever the library trips over is a verdict on them
        return False, f"{type(error).__name__}: {error}"
    return True, ""
