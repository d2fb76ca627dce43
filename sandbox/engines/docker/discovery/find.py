"""Whether this machine has a Docker engine that can run the stack, and a client for it."""

import re
import shutil
import subprocess
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sandbox.engines.docker.discovery.ask import ask_version
from sandbox.engines.docker.discovery.target import Target, find_target
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

__all__ = ["FoundDocker", "Target", "check_compose", "find_docker", "find_engine", "find_target", "open_client"]

ANSWER_TIMEOUT_S = 3.0
INSTALL_HINT = "https://docs.docker.com/engine/install/"
COMPOSE_HINT = "https://docs.docker.com/compose/install/linux/"
MIN_COMPOSE = (2, 29)
"""The first with `--progress json`. Source: docker/compose v2.29.0."""
CLIENT_API_VERSION = "1.45"
"""The newest API that the docker SDK knows. Source: docker 7.2.0, docker/constants.py."""
_VERSION = re.compile(r"v?(\d[\w.+-]*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundDocker:
    """An engine that answers. Versions as Docker prints them, without a `v`; that of compose is empty where nobody asked.

    `client_api_version` is one that both the engine and the SDK speak.
    """

    target: Target
    version: str
    api_version: str
    client_api_version: str
    compose_version: str = ""


def find_docker(timeout_s: float = ANSWER_TIMEOUT_S) -> FoundDocker | None:
    """Ask the engine that `docker` would use, then its compose plugin; None when Docker is not installed.

    Raises: PreconditionError when it is installed and can't be used: no context, no permission, daemon down or silent, on
    another machine, no compose v2. Its message never has an address in it.
    """
    deadline = Deadline(timeout_s)
    engine = find_engine(deadline)
    return engine and replace(engine, compose_version=check_compose(deadline))


def find_engine(deadline: Deadline) -> FoundDocker | None:
    """Ask the engine alone: a few milliseconds, and no import of the docker SDK.

    Raises: PreconditionError as `find_docker` does.
    """
    target = find_target()
    if target is None:
        return None
    says = ask_version(target, deadline)
    newest, oldest = str(says.get("ApiVersion", "")), str(says.get("MinAPIVersion", ""))
    spoken = max(min(newest or CLIENT_API_VERSION, CLIENT_API_VERSION, key=_numbers), oldest, key=_numbers)
    return FoundDocker(target=target, version=str(says.get("Version", "?")), api_version=newest or "?", client_api_version=spoken)


def check_compose(deadline: Deadline) -> str:
    """The version of the compose plugin, without a `v`.

    Raises: PreconditionError when there is none, or one that is too old.
    """
    if not shutil.which("docker"):
        raise PreconditionError("Docker's engine answers, the program `docker` is not on the PATH", hint=INSTALL_HINT)
    version = _version_of(("docker", "compose", "version", "--short"), deadline)
    if version is None:
        old = _version_of(("docker-compose", "version", "--short"), deadline)
        if old and old.startswith("1."):
            raise PreconditionError(f"docker-compose {old} is v1; v2 or newer is needed, as a plugin", hint=COMPOSE_HINT)
        raise PreconditionError("Docker has no compose plugin", hint=COMPOSE_HINT)
    if _numbers(version) < MIN_COMPOSE:
        wanted = ".".join(map(str, MIN_COMPOSE))
        raise PreconditionError(f"compose {version} is too old; {wanted} or newer is needed", hint=COMPOSE_HINT)
    return version


def open_client(target: Target, timeout_s: float, *, api_version: str | None = None) -> "APIClient":
    """The docker SDK's client; `timeout_s` is for each request. Whoever opens it closes it.

    `api_version` is `FoundDocker.client_api_version`; without one the SDK asks first. There is no version that serves all:
    engine 24 speaks 1.43 at most, engine 29 speaks 1.44 at least.
    """
    from docker import APIClient
    from docker.tls import TLSConfig

    tls: TLSConfig | bool = False
    if target.tls:
        ca, cert, key = target.tls.files
        tls = TLSConfig(client_cert=(cert, key), ca_cert=ca, verify=target.tls.verify)
    client = APIClient(target.url, version=api_version, timeout=timeout_s, tls=tls)  # type: ignore[arg-type]
    client.trust_env = False  # it is on this machine: no proxy; and REQUESTS_CA_BUNDLE would go before the engine's own
    return client


def _version_of(command: tuple[str, ...], deadline: Deadline) -> str | None:
    """What the command prints, if it is a version."""
    timeout_s = max(0.1, deadline.remaining_s)
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout_s, check=False)
    except subprocess.TimeoutExpired as error:
        told = f"`{' '.join(command)}` does not end within {deadline.timeout_s:g} s"
        raise PreconditionError(told, hint=" ".join(command)) from error
    except OSError:
        return None
    match = _VERSION.match(done.stdout.decode(errors="replace"))
    return match[1] if match and done.returncode == 0 else None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version))
