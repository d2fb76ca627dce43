"""The settings of the console, read once from `CONSOLE_*` in the environment.

Address and port are flags, and unknown names are ignored: Kubernetes injects `CONSOLE_PORT` and the like.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import ConfigError
from sandbox.stack import JWT_API_PORT, UPSTREAM_PORT, Address
from sandbox.workspace import RUN_ADMIN_SOCKET

DEFAULT_HOSTS = ("localhost", "127.0.0.1", "[::1]", "console")

# A socket's path must fit into 104 bytes with its end on macOS, 108 on Linux.
MAX_SOCKET_PATH_BYTES = 103

_HOST = re.compile(r"[a-z0-9_](?:[a-z0-9._-]*[a-z0-9_])?|\[[0-9a-f:.]+\]")
_URL = re.compile(r"http://[^\s/?#@]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the console can be told. Without `token_file` there is no token, and nobody may change anything.

    `seed_filter` (filter.yaml), from `seed_configured_by`, and `seed_module`, from `seed_origin`, are what it lays into Envoy's
    folder when it starts, which is its own then.
    """

    admin_socket: str = RUN_ADMIN_SOCKET
    jwt_api_url: str = Address(host="jwt-api", port=JWT_API_PORT.number).url
    upstream_url: str = Address(host="upstream", port=UPSTREAM_PORT.number).url
    token_file: Path | None = None
    seed_filter: Path | None = None
    seed_module: Path | None = None
    seed_origin: str = "tinygo"
    seed_configured_by: str = ""
    allowed_hosts: tuple[str, ...] = DEFAULT_HOSTS


def load_settings(environ: Mapping[str, str]) -> Settings:
    """Read and check `CONSOLE_*`; an empty value means the default.

    Raises: ConfigError.
    """
    default = Settings()
    return Settings(
        admin_socket=_socket("CONSOLE_ADMIN_SOCKET", environ.get("CONSOLE_ADMIN_SOCKET", "") or default.admin_socket),
        jwt_api_url=_url("CONSOLE_JWT_API_URL", environ.get("CONSOLE_JWT_API_URL", "") or default.jwt_api_url),
        upstream_url=_url("CONSOLE_UPSTREAM_URL", environ.get("CONSOLE_UPSTREAM_URL", "") or default.upstream_url),
        token_file=_path(environ.get("CONSOLE_TOKEN_FILE", "")),
        seed_filter=_path(environ.get("CONSOLE_SEED_FILTER", "")),
        seed_module=_path(environ.get("CONSOLE_SEED_MODULE", "")),
        seed_origin=environ.get("CONSOLE_SEED_ORIGIN", "") or default.seed_origin,
        seed_configured_by=environ.get("CONSOLE_SEED_CONFIGURED_BY", ""),
        allowed_hosts=DEFAULT_HOSTS + _hosts("CONSOLE_ALLOWED_HOSTS", environ.get("CONSOLE_ALLOWED_HOSTS", "")),
    )


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _socket(name: str, text: str) -> str:
    if len(os.fsencode(text)) > MAX_SOCKET_PATH_BYTES:
        raise ConfigError(f"{name} is longer than {MAX_SOCKET_PATH_BYTES} bytes: give it relative to the working folder")
    return text


def _url(name: str, text: str) -> str:
    url = text.rstrip("/")
    if not _URL.fullmatch(url):
        raise ConfigError(f"{name}={text!r}: expected http://host:port")
    return url


def _hosts(name: str, text: str) -> tuple[str, ...]:
    hosts = tuple(item.strip().lower() for item in text.split(",") if item.strip())
    for host in hosts:
        if not _HOST.fullmatch(host):
            raise ConfigError(f"{name}: {host!r} is not a host name (comma between names, no port, no scheme, no *)")
    return hosts
