"""Whether this machine has a Docker engine that can run the stack."""

import errno
import math
import os
import queue
import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sandbox.errors import PreconditionError
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker.tls import TLSConfig

ANSWER_TIMEOUT_S = 3.0
DEFAULT_SOCKET = Path("/var/run/docker.sock")
DESKTOP_CONTEXT = "desktop-linux"
INSTALL_HINT = "https://docs.docker.com/engine/install/"
COMPOSE_HINT = "https://docs.docker.com/compose/install/linux/"
_VERSION = re.compile(r"v?(\d[\w.+-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class DockerEngine:
    """An engine that answers, with a compose that fits. Versions as Docker prints them, without a `v`."""

    version: str
    api_version: str
    compose_version: str


@dataclass(frozen=True, slots=True, kw_only=True)
class _Target:
    """Where the engine is asked.

    `source` says who named it, `retreat` is the command that starts it or leaves it; both are empty for the default.
    """

    url: str
    source: str = ""
    retreat: str = ""
    tls: "TLSConfig | bool" = field(default=False, repr=False)


def find_docker(timeout_s: float = ANSWER_TIMEOUT_S) -> DockerEngine | None:
    """Ask the engine that `docker` would use, then its compose plugin; None when Docker is not installed.

    Raises: PreconditionError when it is installed and can't be used: no context, no permission, daemon down or silent, no
    compose v2. Its message never has an address in it.
    """
    deadline = Deadline(timeout_s)
    if not _installed():
        return None
    target = _target()
    version = _ask_engine(target, deadline)
    return DockerEngine(
        version=str(version.get("Version", "?")),
        api_version=str(version.get("ApiVersion", "?")),
        compose_version=_ask_compose(deadline),
    )


def _installed() -> bool:
    named = os.environ.get("DOCKER_HOST") or os.environ.get("DOCKER_CONTEXT")
    return bool(named or shutil.which("docker") or DEFAULT_SOCKET.exists())


def _target() -> _Target:
    """DOCKER_HOST, else the context, as the Docker CLI has it.

    The SDK's own `from_env` takes a context that does not exist for the default one, in silence.
    """
    from docker.context import ContextAPI
    from docker.context.config import get_current_context_name
    from docker.errors import TLSParameterError
    from docker.utils import kwargs_from_env

    if os.environ.get("DOCKER_HOST"):
        try:
            given = kwargs_from_env()
        except TLSParameterError as error:
            raise PreconditionError(
                "DOCKER_TLS_VERIFY or DOCKER_CERT_PATH is set, and the certificates are not there",
                details=str(error),
                hint="unset DOCKER_TLS_VERIFY DOCKER_CERT_PATH",
            ) from error
        return _Target(url=given["base_url"], tls=given.get("tls", False), source="DOCKER_HOST", retreat="unset DOCKER_HOST")
    name = os.environ.get("DOCKER_CONTEXT") or get_current_context_name()
    retreat = "unset DOCKER_CONTEXT" if os.environ.get("DOCKER_CONTEXT") else "docker context use default"
    try:
        context = ContextAPI.get_context(name)
    except Exception as error:  # the SDK raises a bare Exception for a file that it cannot read
        raise PreconditionError(f"the Docker context {name!r} cannot be read", details=str(error), hint=retreat) from error
    if context is None or not context.Host:
        raise PreconditionError(f"the Docker context {name!r} does not exist", hint=retreat)
    if name == "default":
        return _Target(url=context.Host)
    if name == DESKTOP_CONTEXT:
        retreat = "docker desktop start"
    return _Target(url=context.Host, tls=context.TLSConfig or False, source=f"the Docker context {name!r}", retreat=retreat)


def _ask_engine(target: _Target, deadline: Deadline) -> dict[str, Any]:
    """GET /version. In a thread of its own, because neither a name server nor a dribbling answer knows of time-outs."""
    from docker.errors import DockerException
    from docker.utils import parse_host

    try:
        parse_host(target.url)
    except DockerException as error:
        raise PreconditionError(f"{target.source}: no address that Docker understands", hint=target.retreat) from error
    if target.url.startswith("ssh:"):
        raise PreconditionError(
            f"{target.source}: an engine on another machine, and the stack mounts folders of this one", hint=target.retreat
        )
    answers: queue.SimpleQueue[dict[str, Any] | Exception] = queue.SimpleQueue()
    threading.Thread(target=_get_version, args=(target, deadline, answers), name="docker-version", daemon=True).start()
    try:
        answer = answers.get(timeout=deadline.remaining_s)
    except queue.Empty:
        answer = TimeoutError()
    if isinstance(answer, Exception):
        raise _explain(answer, target, deadline.timeout_s) from answer
    return answer


def _get_version(target: _Target, deadline: Deadline, answers: "queue.SimpleQueue[dict[str, Any] | Exception]") -> None:
    from docker import APIClient
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    try:
        _touch_socket(target.url, deadline)
        # A version that is given spares the request that asks for one.
        client = APIClient(
            target.url, tls=target.tls, version=DEFAULT_DOCKER_API_VERSION, timeout=math.ceil(max(1.0, deadline.remaining_s))
        )
        try:
            answers.put(dict(client.version(api_version=False)))
        finally:
            client.close()
    except Exception as error:
        answers.put(error)


def _touch_socket(url: str, deadline: Deadline) -> None:
    """Connect to a Unix socket and let go: the SDK leaves its own open when it can't connect."""
    scheme, _, path = url.partition("://")
    if scheme in {"unix", "http+unix"}:
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(max(0.1, deadline.remaining_s))
            probe.connect(path)


def _explain(error: Exception, target: _Target, timeout_s: float) -> PreconditionError:
    """Which of the known kinds it is, by the root of the SDK's chain of errors."""
    from docker.errors import APIError

    hint = target.retreat or _start_hint(target.url)
    details = ""
    for cause in _chain(error):
        match cause:
            case APIError():
                says, hint = f"the engine answers with HTTP {cause.status_code}", "docker version"
            case PermissionError():
                says, hint = "this user may not use the engine's socket", "sudo usermod -aG docker $USER && newgrp docker"
            case FileNotFoundError() | ConnectionRefusedError():
                says = "the daemon is not running" if not target.source else "nothing listens there"
            case socket.gaierror():
                says = "its host is not known"
            case TimeoutError():
                says = f"the engine does not answer within {timeout_s:g} s"
            case OSError(errno=errno.EHOSTUNREACH | errno.ENETUNREACH):
                says = "its host cannot be reached"
            case _:
                continue
        break
    else:
        says, details = f"the engine cannot be asked ({type(error).__name__})", str(error)
    return PreconditionError(f"{target.source or 'Docker'}: {says}", details=details, hint=hint)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from, the root first."""
    causes = [error]
    while (cause := causes[-1].__cause__ or causes[-1].__context__) is not None and cause not in causes:
        causes.append(cause)
    return reversed(causes)


def _start_hint(url: str) -> str:
    if sys.platform == "darwin":
        return "open -a Docker"
    if "/run/user/" in url:
        return "systemctl --user start docker"
    return "sudo systemctl start docker" if Path("/run/systemd/system").is_dir() else "sudo service docker start"


def _ask_compose(deadline: Deadline) -> str:
    if not shutil.which("docker"):
        raise PreconditionError("Docker's engine answers, the program `docker` is not on the PATH", hint=INSTALL_HINT)
    version = _version_of(("docker", "compose", "version", "--short"), deadline)
    if version is None:
        old = _version_of(("docker-compose", "version", "--short"), deadline)
        if old and old.startswith("1."):
            raise PreconditionError(f"docker-compose {old} is v1; v2 or newer is needed, as a plugin", hint=COMPOSE_HINT)
        raise PreconditionError("Docker has no compose plugin", hint=COMPOSE_HINT)
    if version.startswith("1."):
        raise PreconditionError(f"compose {version} is v1; v2 or newer is needed", hint=COMPOSE_HINT)
    return version


def _version_of(command: tuple[str, ...], deadline: Deadline) -> str | None:
    """What the command prints, if it is a version."""
    timeout_s = max(0.1, deadline.remaining_s)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match = _VERSION.match(done.stdout.decode(errors="replace"))
    return match[1] if match and done.returncode == 0 else None
