"""The settings of the JWT API, read once from `JWT_API_*` in the environment.

Address and port are flags, and unknown names are ignored: Kubernetes injects `JWT_API_PORT` and the like.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOSTS = ("jwt-api", "localhost", "127.0.0.1", "[::1]")
MAX_TTL_S = 86_400
MAX_CLAIM_CHARS = 256

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_WORDS = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


class SettingsError(ValueError):
    """A variable whose value can't be used; the message names it, shows the value and says what is accepted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the JWT API can be told.

    Without `key_file` the signing key lives in memory and ends with the process.
    """

    key_file: Path | None = None
    ttl_s: int = 300
    issuer: str = "http://jwt-api"
    audience: str = "upstream"
    subject: str = "envoy"
    allowed_hosts: tuple[str, ...] = DEFAULT_HOSTS
    access_log: bool = False


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check `JWT_API_*`; an empty value means the default.

    Raises: SettingsError.
    """
    default = Settings()
    key_file = environ.get("JWT_API_KEY_FILE", "")
    return Settings(
        key_file=_path("JWT_API_KEY_FILE", key_file) if key_file else None,
        ttl_s=_whole_number("JWT_API_TTL_S", environ.get("JWT_API_TTL_S", ""), default.ttl_s),
        issuer=_claim("JWT_API_ISSUER", environ.get("JWT_API_ISSUER", ""), default.issuer),
        audience=_claim("JWT_API_AUDIENCE", environ.get("JWT_API_AUDIENCE", ""), default.audience),
        subject=_claim("JWT_API_SUBJECT", environ.get("JWT_API_SUBJECT", ""), default.subject),
        allowed_hosts=DEFAULT_HOSTS + _hosts("JWT_API_ALLOWED_HOSTS", environ.get("JWT_API_ALLOWED_HOSTS", "")),
        access_log=_switch("JWT_API_ACCESS_LOG", environ.get("JWT_API_ACCESS_LOG", ""), default.access_log),
    )


def _path(name: str, text: str) -> Path:
    path = Path(text)
    if text.endswith("/") or path.name in {"", ".", ".."}:
        raise SettingsError(f"{name}={text!r}: expected the path of a file")
    return path


def _whole_number(name: str, text: str, default: int) -> int:
    if not text:
        return default
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= MAX_TTL_S:
        raise SettingsError(f"{name}={text!r}: expected whole seconds between 1 and {MAX_TTL_S}")
    return int(text)


def _claim(name: str, text: str, default: str) -> str:
    if not text:
        return default
    if len(text) > MAX_CLAIM_CHARS or not text.isprintable() or text != text.strip():
        raise SettingsError(f"{name}={text!r}: expected up to {MAX_CLAIM_CHARS} printable characters, no space around")
    return text


def _hosts(name: str, text: str) -> tuple[str, ...]:
    hosts = tuple(item.strip().lower() for item in text.split(",") if item.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise SettingsError(f"{name}: {host!r} is not a host name (comma between names, no port, no scheme, no *)")
    return hosts


def _switch(name: str, text: str, default: bool) -> bool:
    if not text:
        return default
    if text.lower() not in _WORDS:
        raise SettingsError(f"{name}={text!r}: expected one of {', '.join(_WORDS)}")
    return _WORDS[text.lower()]
