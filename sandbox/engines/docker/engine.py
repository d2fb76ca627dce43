"""The Docker engine as the command line sees it: `docker compose` starts what compose.yaml says, the SDK tells what there is."""

import contextlib
import hashlib
import importlib
import re
import shutil
import socket
import threading
import uuid
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sandbox.config import Settings
from sandbox.engines.base import Run, StackState, WantedPort
from sandbox.engines.docker.compose.command import Compose
from sandbox.engines.docker.containers import Note, describe_stack, endpoints_for, parse_note, read_containers, render_note
from sandbox.engines.docker.discovery import find
from sandbox.engines.docker.images import find_sources, get_images, remove_replaced, sources_tag
from sandbox.engines.docker.logs.container_logs import read_container_logs, save_container_logs
from sandbox.engines.docker.mounts import MOUNTED_TOKEN, lay_out
from sandbox.engines.docker.removal import PATIENCE_S, SETTLE_S, remove_project
from sandbox.engines.docker.run import ContainerWatch, DockerRun
from sandbox.engines.journal import read_journal
from sandbox.engines.marks import kill_marked
from sandbox.engines.ports import port_of, take_ports
from sandbox.errors import ConfigError, SandboxError, StackError
from sandbox.events.stack import EngineEvent, LogRecord, ServiceStarted
from sandbox.files import is_locked, make_private_folder
from sandbox.stack import ENVOY_VERSION, PUBLISHED, Endpoints, Launch
from sandbox.wait import Deadline
from sandbox.workspace import HOME, RUN_MODULES, Project, State

if TYPE_CHECKING:
    from docker import APIClient

CALL_TIMEOUT_S = 60.0
CHECK_TIMEOUT_S = 10.0
ABORT_TIMEOUT_S = 20.0
RECREATE_TIMEOUT_S = 30.0
KEYS_VOLUME = "keys"
"""The volume that outlives a stop."""


class DockerEngine:
    """Implements `Engine` with the containers of one compose project."""

    name = "docker"

    def __init__(self, project: Project, state: State, settings: Settings, docker: find.FoundDocker) -> None:
        self._project = project
        self._state = state
        self._settings = settings
        self._docker = docker
        self._listeners: Mapping[str, socket.socket] = {}
        self._compose = make_compose(project, state, docker)

    def _open_client(self) -> "APIClient":
        return find.open_client(self._docker.target, CALL_TIMEOUT_S, api_version=self._docker.client_api_version)

    @contextlib.contextmanager
    def _client(self) -> "Iterator[APIClient]":
        from docker.errors import DockerException

        try:
            with contextlib.closing(self._open_client()) as client:
                yield client
        except (DockerException, OSError) as error:
            raise StackError(f"Docker: {error}", hint="docker info") from error

    def find(self) -> StackState:
        """See `Engine.find`."""
        with self._client() as client:
            containers = read_containers(client, self._compose.name)
        try:
            begun_at = self._state.mounts.stat().st_mtime
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return describe_stack(containers, begun_at=None, being_started=False)
        return describe_stack(containers, begun_at=begun_at, being_started=is_locked(self._state.lock))

    def prepare(self) -> Iterator[EngineEvent]:
        """See `Engine.prepare`: the images."""
        # The SDK takes as long to be imported as compose to tell its version.
        threading.Thread(target=importlib.import_module, args=("docker",), daemon=True).start()
        find.check_compose(Deadline(CHECK_TIMEOUT_S))
        if self.find().phase in {"running", "starting"}:
            return
        if self._settings.envoy.startswith("1.36."):
            message = f"compose.yaml has a flag that Envoy {self._settings.envoy} does not know (--file-flush-min-size-kb)"
            raise ConfigError(message, hint=f"sandbox up --engine local --envoy {self._settings.envoy}")
        with self._client() as client:
            yield from get_images(client, self._compose, self._project, self._state, self._settings)

    def reserve(self, wanted: Sequence[WantedPort]) -> tuple[Endpoints, Sequence[str]]:
        """See `Engine.reserve`."""
        self._release()
        self._listeners, notices = take_ports(wanted, {port.name for port in PUBLISHED})
        return endpoints_for({name: port_of(listener) for name, listener in self._listeners.items()}), notices

    def _release(self) -> None:
        for listener in self._listeners.values():
            listener.close()

    def start(self, launches: Sequence[Launch], files: Mapping[str, bytes], labels: Mapping[str, str]) -> Run:  # noqa: ARG002 - compose.yaml says how
        """See `Engine.start`."""
        ports = {name: port_of(listener) for name, listener in self._listeners.items()}
        note = Note(labels=dict(labels), ports=ports, workers=self._settings.workers)
        instance = uuid.uuid4().hex
        watch = self._watch(instance)
        try:
            lay_out(self._state, files)
            self._release()
            words = ("up", "--detach", "--no-build", "--pull", "never")
            run = self._compose.start(*words, variables=self._variables(note, instance))
            return DockerRun(run, watch, self._end_start)
        except BaseException:
            watch.close()
            self._end_start()
            raise

    def _watch(self, instance: str) -> ContainerWatch:
        from docker.errors import DockerException

        try:
            return ContainerWatch(self._open_client, instance)
        except (DockerException, OSError) as error:
            raise StackError(f"Docker: {error}", hint="docker info") from error

    def _variables(self, note: Note, instance: str) -> dict[str, str]:
        """The variables of compose.yaml."""
        module = next((self._state.mounts / RUN_MODULES).glob("*.wasm"), None)
        if module is None:
            raise StackError(f"what the containers mount was removed: {self._state.mounts}", hint="sandbox down, then sandbox up")
        return {
            **{f"SANDBOX_{name.upper()}_PORT": str(number) for name, number in note.ports.items()},
            "SANDBOX_WORKERS": str(note.workers),
            "SANDBOX_REGISTRY": self._settings.registry,
            "SANDBOX_ENVOY_VERSION": _envoy_of(note),
            "SANDBOX_SOURCES": sources_tag(find_sources(self._project.services_root)),
            "SANDBOX_FILES": str(self._state.mounts),
            "SANDBOX_MODULE_FILE": str(module),
            "SANDBOX_MODULE_ORIGIN": note.labels.get("filter.module", ""),
            "SANDBOX_CONFIGURED_BY": note.labels.get("filter.configured_by", ""),
            "SANDBOX_TOKEN_FILE": str(self._state.mounts / MOUNTED_TOKEN),
            "SANDBOX_PROJECT_FOLDER": str(self._project.root),
            "SANDBOX_INSTANCE": instance,
            "SANDBOX_NOTE": render_note(note),
        }

    def _end_start(self) -> None:
        """End what was started by this command. A second Ctrl-C ends the patience."""
        try:
            for _ in self._stop(Deadline(ABORT_TIMEOUT_S), SETTLE_S):
                pass
        except KeyboardInterrupt:
            for _ in self._stop(Deadline(ABORT_TIMEOUT_S), SETTLE_S, patience_s=0):
                pass
            raise

    def stop(self, *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.stop`."""
        # A compose whose command was killed is still at it, and that of another command must not go on.
        ended = kill_marked(self._compose.mark)
        return self._stop(deadline, SETTLE_S if ended else 0.0)

    def _stop(self, deadline: Deadline, settle_s: float, *, patience_s: int = PATIENCE_S) -> Iterator[EngineEvent]:
        with self._client() as client:
            if patience_s:
                self._keep_logs(client)
            yield from remove_project(
                self._open_client,
                self._compose.name,
                keep={KEYS_VOLUME},
                settle_s=settle_s,
                deadline=deadline,
                patience_s=patience_s,
            )
            for folder in (self._state.mounts, self._state.build):
                shutil.rmtree(folder, ignore_errors=True)
            remove_replaced(client, self._project)

    def _keep_logs(self, client: "APIClient") -> None:
        """What cannot be kept must not keep the stack from ending: a full disk, say."""
        with contextlib.suppress(SandboxError, OSError):
            if read_containers(client, self._compose.name):
                save_container_logs(client, self._compose.name, make_private_folder(self._state.logs))

    def forget(self) -> None:
        """See `Engine.forget`."""
        with self._client():
            for _ in remove_project(
                self._open_client, self._compose.name, keep=(), settle_s=0.0, deadline=Deadline(CALL_TIMEOUT_S)
            ):
                pass

    def restart(self, services: Sequence[str], *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.restart`: with the code as it is now, which may mean a new image."""
        with self._client() as client:
            before = read_containers(client, self._compose.name)
            note = parse_note(before[0].note) if before else None
            if note is None:
                raise StackError("no stack is running", hint="sandbox up")
            settings = replace(self._settings, envoy=_envoy_of(note))
            yield from get_images(client, self._compose, self._project, self._state, settings)
            words = ("up", "--detach", "--no-build", "--pull", "never", "--no-deps", "--force-recreate", *services)
            run = self._compose.start(*words, variables=self._variables(note, before[0].instance))
            try:
                said = list(run.lines(deadline))
            except BaseException:
                run.wait(RECREATE_TIMEOUT_S)  # what is half recreated is no service at all
                raise
            finally:
                run.end()
            if problem := run.problem(said, doing="restart"):
                raise problem
            for container in read_containers(client, self._compose.name):
                if container.service in services:
                    yield ServiceStarted(service=container.service, pid=container.pid)

    def logs(
        self,
        *,
        services: Sequence[str],
        since_s: float | None,
        tail: int | None,
        follow: bool,
        matching: Callable[[LogRecord], bool] = lambda _: True,
        containing: Collection[str] = (),
    ) -> Iterator[LogRecord]:
        """See `Engine.logs`; of a stack that was stopped, what was kept."""
        with self._client() as client:
            there = read_containers(client, self._compose.name)
        if there:
            return read_container_logs(
                self._open_client,
                self._compose.name,
                services=services,
                since_s=since_s,
                tail=tail,
                follow=follow,
                matching=matching,
            )

        def wanted(record: LogRecord) -> bool:
            timely = since_s is None or record.time_s >= since_s
            return timely and (not services or record.service in services) and matching(record)

        return read_journal(self._state.logs, wanted=wanted, tail=tail, while_=None, since_s=since_s, containing=containing)


def _envoy_of(note: Note) -> str:
    """The version that a stack was started with; one that does not say so had no choice."""
    return note.labels.get("envoy", ENVOY_VERSION)


def make_compose(project: Project, state: State, docker: find.FoundDocker) -> Compose:
    """How `docker compose` is called for this project."""
    file = project.root / "compose.yaml"
    return Compose(
        name=compose_name(project, state),
        file=file if file.is_file() else HOME / "compose.yaml",
        environment=docker.target.environment,
        mark=state.mounts,
    )


def compose_name(project: Project, state: State) -> str:
    """Compose's name for the stack: readable, and of this project with this state folder only."""
    readable = re.sub(r"[^a-z0-9_-]+", "-", project.name.lower()).strip("-")[:32] or "project"
    return f"sandbox-{readable}-{hashlib.sha256(bytes(state.root)).hexdigest()[:8]}"
