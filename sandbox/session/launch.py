"""What an engine is to start: the files of Envoy's working folder and, for processes, one launch a service."""

import hashlib
import secrets
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from sandbox.config import Settings
from sandbox.envoy.binary import envoy_command, find_envoy, validate
from sandbox.envoy.bootstrap import place_addresses
from sandbox.envoy.resource import FilterResource, check_module, render_filter
from sandbox.envoy.stage import first_files, first_version
from sandbox.errors import ConfigError
from sandbox.files import load_json, make_private_folder, write_atomic, write_json
from sandbox.observe.envoy_log import configuration_error
from sandbox.session.given import GivenConfiguration, GivenModule
from sandbox.stack import CONSOLE, CONSOLE_PORT, ENVOY, JWT_API, JWT_API_PORT, UPSTREAM, UPSTREAM_PORT, Endpoints, Launch
from sandbox.workspace import (
    RUN_ADMIN_SOCKET,
    RUN_ENVOY_YAML,
    RUN_MODULES,
    Project,
    State,
)

_SHARED = ("fastapi", "uvicorn", "uvicorn.loops.asyncio", "uvicorn.protocols.http.h11_impl")


@dataclass(frozen=True, slots=True, kw_only=True)
class Prepared:
    """Everything that a start needs but its ports."""

    envoy: Path
    envoy_version: str
    bootstrap: str
    resource: FilterResource
    module: bytes
    module_kind: str
    configured_by: str = ""


def prepare(
    project: Project, settings: Settings, module: GivenModule | None = None, configuration: GivenConfiguration | None = None
) -> Prepared:
    """Read the project's files; what is given takes the place of its own.

    Raises: ConfigError, PreconditionError.
    """
    module = module or _shipped(project, settings.module)
    text = configuration.resource if configuration else None
    return Prepared(
        envoy=find_envoy(settings.envoy),
        envoy_version=settings.envoy,
        bootstrap=_read(project.envoy_yaml).decode(errors="replace"),
        resource=render_filter(
            _read(project.filter_yaml).decode(errors="replace") if text is None else text,
            module.sha256,
            configuration.origin if configuration and text else str(project.filter_yaml),
            modules_folder=RUN_MODULES,
            configuration=configuration.configuration if configuration else None,
        ),
        module=module.content,
        module_kind=module.origin,
        configured_by=configuration.origin if configuration else "",
    )


def _shipped(project: Project, kind: str) -> GivenModule:
    path = project.module(kind)
    content = _read(path)
    return GivenModule(content=content, sha256=check_module(content, hint=f"git checkout {path}"), origin=kind)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}", hint=f"git checkout {path}") from error


def render_files(prepared: Prepared, endpoints: Endpoints, project: Project) -> dict[str, bytes]:
    """The files of Envoy's working folder, by relative name."""
    version = first_version(
        prepared.resource,
        prepared.module,
        origin=prepared.module_kind,
        configured_by=prepared.configured_by,
        now_s=time.time(),
    )
    return {
        RUN_ENVOY_YAML: place_addresses(prepared.bootstrap, endpoints.inside, str(project.envoy_yaml)),
        f"{Path(RUN_ADMIN_SOCKET).parent}/.keep": b"",
        **first_files(version, prepared.module),
    }


def check_bootstrap(prepared: Prepared, files: dict[str, bytes], project: Project, state: State) -> None:
    """Let Envoy validate envoy.yaml before anything is started; a file that it has found valid before is not asked again.

    Raises: ConfigError with Envoy's own words.
    """
    judged = f"{prepared.bootstrap}\0{prepared.envoy}\0{prepared.envoy_version}"
    digest = hashlib.sha256(judged.encode(errors="replace")).hexdigest()
    if (load_json(state.validated) or {}).get("bootstrap") == digest:
        return
    folder = state.validation
    shutil.rmtree(folder, ignore_errors=True)
    try:
        for name in (name for name in files if name.endswith(".yaml")):
            (folder / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(folder / name, files[name])
        complaints = validate(prepared.envoy, prepared.envoy_version, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if complaints:
        raise ConfigError(
            f"{project.envoy_yaml}: {configuration_error(complaints) or complaints[-1]}",
            hint=f"git diff {project.envoy_yaml}",
        )
    write_json(state.validated, {"bootstrap": digest})


def write_console_token(state: State) -> None:
    """Make what a change through the console has to show, unless there is one."""
    make_private_folder(state.keys)
    if not state.console_token.exists():
        write_atomic(state.console_token, secrets.token_urlsafe(32).encode())


def launches(prepared: Prepared, endpoints: Endpoints, settings: Settings, state: State) -> tuple[Launch, ...]:
    """One launch a service of the stack model."""
    inside = endpoints.inside
    return (
        Launch(name=ENVOY.name, argv=envoy_command(prepared.envoy, prepared.envoy_version, workers=settings.workers)),
        Launch(
            name=JWT_API.name,
            serve="services.jwt_api.__main__:serve",
            listens=JWT_API_PORT.name,
            shares=_SHARED,
            environment=(("JWT_API_KEY_FILE", str(state.jwt_key)),),
        ),
        Launch(name=UPSTREAM.name, serve="services.upstream.__main__:serve", listens=UPSTREAM_PORT.name, shares=_SHARED),
        Launch(
            name=CONSOLE.name,
            serve="sandbox.console.__main__:serve",
            listens=CONSOLE_PORT.name,
            shares=_SHARED,
            environment=(
                ("CONSOLE_ADMIN_SOCKET", RUN_ADMIN_SOCKET),
                ("CONSOLE_JWT_API_URL", inside[JWT_API_PORT.name].url),
                ("CONSOLE_UPSTREAM_URL", inside[UPSTREAM_PORT.name].url),
                ("CONSOLE_TOKEN_FILE", str(state.console_token)),
            ),
        ),
    )
