"""Which engine the program `docker` would talk to, and how to make it talk to that one. Nobody is asked here.

The docker SDK takes a context that does not exist for the default one, and a tenth of a second to be imported.
"""

import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from sandbox.engines.docker.discovery.sockets import find_socket
from sandbox.errors import PreconditionError

DEFAULT_SOCKET = Path("/var/run/docker.sock")
DEFAULT_CONTEXT, DESKTOP_CONTEXT = "default", "desktop-linux"
PLAIN_PORT, TLS_PORT = 2375, 2376
_TLS_FILES = ("ca.pem", "cert.pem", "key.pem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """The folder with `ca.pem`, `cert.pem` and `key.pem`, and whether the engine's own certificate has to be good."""

    folder: Path
    verify: bool

    @property
    def files(self) -> tuple[str, str, str]:
        """Certificate authority, certificate and key."""
        ca, cert, key = (str(self.folder / name) for name in _TLS_FILES)
        return ca, cert, key


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the engine is asked: `unix://PATH`, or `tcp://HOST:PORT` on the loopback interface.

    `environment` makes the program `docker` talk to the same engine; empty where it does so by itself. `source` says who named
    it, `retreat` is the command that starts it or leaves it; both are empty for the default socket.
    """

    url: str
    tls: Tls | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    source: str = ""
    retreat: str = ""


def find_target() -> Target | None:
    """DOCKER_HOST, else the context, else the default socket, else a usual one; None when Docker is not installed.

    Raises: PreconditionError for a context that is not there and for an engine on another machine. No address is in it.
    """
    if host := os.environ.get("DOCKER_HOST"):
        return _local(Target(url=host, tls=_tls_of_environment(), source="DOCKER_HOST", retreat="unset DOCKER_HOST"))
    named = os.environ.get("DOCKER_CONTEXT")
    name = named or _current_context()
    if name != DEFAULT_CONTEXT:
        return _local(_load_context(name, "unset DOCKER_CONTEXT" if named else "docker context use default"))
    default = Target(url=f"unix://{DEFAULT_SOCKET}")
    if os.path.exists(DEFAULT_SOCKET):  # noqa: PTH110 - the method raises in a closed folder
        return default
    if not named and (usual := find_socket()):
        url = f"unix://{usual.path}"
        return Target(url=url, environment={"DOCKER_HOST": url}, source=usual.owner, retreat=usual.start)
    return default if named or shutil.which("docker") else None


def _local(target: Target) -> Target:
    """The target with its address in one of the two forms, if it is on this machine."""
    scheme, found, rest = target.url.partition("://")
    if not found and ":" in target.url:
        scheme, rest = "tcp", target.url
    if scheme in {"unix", "http+unix"}:
        return replace(target, url=f"unix://{rest or DEFAULT_SOCKET}", tls=None)
    elsewhere = scheme == "ssh"
    if scheme in {"tcp", "http", "https"}:
        host, _, port = rest.rstrip("/").rpartition(":")
        if not port.isdigit():
            host, port = rest.rstrip("/"), str(TLS_PORT if target.tls else PLAIN_PORT)
        if _is_loopback(host or "127.0.0.1"):
            return replace(target, url=f"tcp://{host or '127.0.0.1'}:{port}")
        elsewhere = bool(host) and "/" not in host
    if elsewhere:
        raise PreconditionError(
            f"{target.source}: an engine on another machine, and the stack mounts folders of this one", hint=target.retreat
        )
    raise PreconditionError(f"{target.source}: no address that Docker understands", hint=target.retreat)


def _is_loopback(host: str) -> bool:
    import ipaddress

    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def _tls_of_environment() -> Tls | None:
    """As the Docker CLI has it: DOCKER_TLS and DOCKER_TLS_VERIFY turn it on, DOCKER_CERT_PATH says where the files are."""
    verify = bool(os.environ.get("DOCKER_TLS_VERIFY"))
    if not (verify or os.environ.get("DOCKER_TLS")):
        return None
    tls = Tls(folder=Path(os.environ.get("DOCKER_CERT_PATH") or _docker_folder()), verify=verify)
    missing = [file for file in tls.files if not Path(file).is_file()]
    if missing:
        raise PreconditionError(
            "DOCKER_TLS_VERIFY or DOCKER_TLS is set, and the certificates are not there",
            details="\n".join(missing),
            hint="unset DOCKER_TLS_VERIFY DOCKER_TLS DOCKER_CERT_PATH",
        )
    return tls


def _docker_folder() -> Path:
    return Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")


def _current_context() -> str:
    """The context chosen in config.json. A file that cannot be read chooses none, as for the Docker CLI."""
    try:
        config = json.loads((_docker_folder() / "config.json").read_bytes())
    except (OSError, ValueError):
        return DEFAULT_CONTEXT
    name = config.get("currentContext") if isinstance(config, dict) else None
    return name if isinstance(name, str) and name else DEFAULT_CONTEXT


def _load_context(name: str, leave: str) -> Target:
    """Source: docs.docker.com/engine/manage-resources/contexts; docker/cli cli/context/store for the folders' names."""
    import hashlib

    key = hashlib.sha256(name.encode()).hexdigest()
    contexts = _docker_folder() / "contexts"
    try:
        meta: Any = json.loads((contexts / "meta" / key / "meta.json").read_bytes())
        endpoint = meta["Endpoints"]["docker"]
        host, verify = str(endpoint["Host"]), not endpoint.get("SkipTLSVerify", False)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PreconditionError(f"the Docker context {name!r} does not exist", hint=leave) from error
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise PreconditionError(f"the Docker context {name!r} cannot be read", details=str(error), hint=leave) from error
    folder = contexts / "tls" / key / "docker"
    return Target(
        url=host or f"unix://{DEFAULT_SOCKET}",
        tls=Tls(folder=folder, verify=verify) if folder.is_dir() else None,
        source=f"the Docker context {name!r}",
        retreat="docker desktop start" if name == DESKTOP_CONTEXT else leave,
    )
