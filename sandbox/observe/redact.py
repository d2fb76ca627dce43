"""The one redaction, for whatever is printed or written for people: tokens and credentials by what they are. No I/O.

It keeps what helps to see what happened (algorithm, subject, time left), and nothing that anybody could use.
"""

import re
import time
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import chain
from typing import Any

from sandbox.observe.token import decode_token, describe_life

_ESCAPES = {".": "2[Ee]", "-": "2[Dd]", "_": "5[Ff]", "~": "7[Ee]", "+": "2[Bb]", "/": "2[Ff]", "=": "3[Dd]"}


def _character(*escaped: str) -> str:
    """A character of a token: plain, percent-encoded (even twice), or as JSON can spell it."""
    codes = "|".join(_ESCAPES[char] for char in escaped)
    return rf"%(?:25)*+(?:{codes})|\\++u00(?:{codes})"


_RUN = rf"eyJ(?:[\w.-]++|{_character('.', '-', '_')})++"
_CREDENTIAL = rf"(?:[\w.~+/=-]++|{_character(*_ESCAPES)})++"
_SCHEME = r"(?P<scheme>[Bb]earer|BEARER|[Bb]asic|BASIC)(?P<gap>(?:\s|\+|%(?:25)*+20|\\++u0020)++)"
_SECRET = re.compile(rf"{_SCHEME}(?!eyJ…|realm=)(?P<credential>{_CREDENTIAL})|{_RUN}", re.ASCII)
_DOT = re.compile(r"\.|%(?:25)*2[Ee]|\\+u002[Ee]")
_ENCODED = re.compile(r"(?:%(?:25)*|\\+u00)(2[DdEe]|5[Ff])")
_HEADER = re.compile(r"eyJ[\w-]{13,}", re.ASCII)
"""The first part of a token: `{"alg":"none"}` has no fewer characters. A name such as `keyJson` does not match."""
_WORD = re.compile(r"[A-Za-z]?[a-z]{0,19}[.]?")
"""Not a credential, where nothing says that it is one: `Basic authentication`."""
_ANNOUNCED = re.compile(r"auth[\w-]*(?:\W|%\w\w)*$", re.IGNORECASE)
_ODD = re.compile(r"[^\w@./: -]", re.ASCII)

_TOLD = re.compile(r"\s*|(?:\S+ )?(?:…|eyJ…(?:\(.*\))?)")
"""What is left of a credential, or none."""

_AUTHORIZATION = frozenset({"authorization", "proxy-authorization"})
_MAX_TOKEN = 8192
"""Characters; a longer one is not decoded."""
_MAX_WORD = 40
_MAX_DEPTH = 200


def redact(text: str, *, facts: bool = True) -> str:
    """`text` without tokens and credentials: `eyJ…(ES256, subject envoy, 4 min 12 s left)`, `Bearer …`. Never raises.

    Without `facts` it is `eyJ…` alone, for where they stand beside it.
    """
    if not _has_sign(text):
        return text
    return _SECRET.sub(_shorten if facts else _shorten_to_sign, text)


def _has_sign(text: str) -> bool:
    """Whether it can hold a secret. Asked about every header of every exchange: a loop would take longer than the search."""
    return "eyJ" in text or "earer" in text or "EARER" in text or "asic" in text or "ASIC" in text


def redact_header(name: str, value: str) -> str:
    """The value of one header; that of `authorization` is a credential whatever its scheme is."""
    told = redact(value)
    if name.lower() not in _AUTHORIZATION or told != value or _TOLD.fullmatch(value):
        return told
    scheme, space, _ = value.strip().partition(" ")
    return f"{scheme}{space}…" if space else "…"


def redact_headers(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """The same headers with `redact_header` on each value; a name can be anything, too."""
    headers = tuple(headers)
    text = "\n".join(chain.from_iterable(headers))
    if not _has_sign(text) and "authorization" not in text.lower():
        return headers
    return tuple((redact(name), redact_header(name, value)) for name, value in headers)


def redact_json(value: Any) -> Any:
    """What JSON can say, with every text in it redacted; a pair of texts, or a member of an object, counts as a header."""
    return _walk(value, _MAX_DEPTH)


def _walk(value: Any, depth: int) -> Any:
    match value:
        case str():
            return redact(value)
        case dict() | list() | tuple() if not depth:
            return "…"
        case Mapping():
            return {_walk_key(name): _walk_member(name, item, depth - 1) for name, item in value.items()}
        case [str(name), str(text)]:
            return [redact(name), redact_header(name, text)]
        case list() | tuple():
            return [_walk(item, depth - 1) for item in value]
        case _:
            return value


def _walk_key(name: Any) -> Any:
    return redact(name) if isinstance(name, str) else name


def _walk_member(name: Any, item: Any, depth: int) -> Any:
    return redact_header(name, item) if isinstance(name, str) and isinstance(item, str) else _walk(item, depth)


def _shorten_to_sign(found: re.Match[str]) -> str:
    return _shorten(found, facts=False)


def _shorten(found: re.Match[str], *, facts: bool = True) -> str:
    credential = found["credential"]
    if credential is None:
        return _describe(found[0], facts=facts)
    told = _describe(credential, facts=facts) if credential.startswith("eyJ") else credential
    if told == credential:
        told = credential if _is_prose(found) else "…"
    return found["scheme"] + found["gap"] + told


def _is_prose(found: re.Match[str]) -> bool:
    """Whether a word follows the scheme, and nothing says that it is a credential."""
    whole = found.start() == 0 and found.end() == len(found.string)
    before = found.string[max(0, found.start() - 40) : found.start()]
    return not whole and _WORD.fullmatch(found["credential"]) is not None and not _ANNOUNCED.search(before)


def _describe(run: str, *, facts: bool) -> str:
    """A run of a token's characters that begins like one. What is connected with a token goes with it, a last dot excepted."""
    is_plain = "%" not in run and "\\" not in run
    parts = run.split(".") if is_plain else _DOT.split(run)
    if len(parts) < 3 or not _HEADER.search(run):
        return run
    end = "." if run.endswith(".") and len(parts) > 3 else ""
    token = ".".join(part if is_plain else _ENCODED.sub(_plain, part) for part in parts[:3])
    return f"eyJ…{_facts(token) if facts else ''}{end}"


def _facts(compact: str) -> str:
    if len(compact) > _MAX_TOKEN or (told := _decode(compact)) is None:
        return ""
    words, expires_s = told
    life = describe_life(None if expires_s is None else expires_s - time.time())
    return f"({', '.join(filter(None, (*words, life)))})"


@lru_cache(maxsize=64)
def _decode(compact: str) -> tuple[tuple[str, str], float | None] | None:
    """What the token says of itself, and when it expires (epoch): the same one is on every answer for a while."""
    token = decode_token(compact, None)
    if token is None:
        return None
    expires_s = None if token.expires_in_s is None else time.time() + token.expires_in_s
    return (_words(token.algorithm), token.subject and f"subject {_words(token.subject)}"), expires_s


def _plain(found: re.Match[str]) -> str:
    return chr(int(found[1], 16))


def _words(text: str) -> str:
    """Anybody wrote it: cut, and without what is special to a terminal, to JSON or here."""
    return _ODD.sub("?", text[:_MAX_WORD]).replace("eyJ", "ey?")
