"""The containers of a project as the engine tells of them, and the labels by which they are known."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from sandbox.engines.base import Condition, ServiceState, StackState
from sandbox.engines.ports import HOST
from sandbox.errors import PreconditionError
from sandbox.stack import ENVOY, PUBLISHED, SERVICES, Address, Endpoints, service_names

if TYPE_CHECKING:
    from docker import APIClient

FORMAT = 1
"""Of the label `NOTE`; a higher number was written by a newer sandbox."""

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"
INSTANCE = "envoy-wasm-sandbox.instance"
NOTE = "envoy-wasm-sandbox.note"
"""Labels: Compose's two, then ours; `NOTE` holds a `Note`."""

MAX_RESTARTS = 5  # compose.yaml's `restart: on-failure:5`


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One container, by the engine's word. Times are seconds since the epoch; `finished_at` is 0 before it ever ended."""

    id: str
    service: str
    status: str
    pid: int
    restarts: int
    exit_code: int
    started_at: float
    finished_at: float
    instance: str
    note: str = field(repr=False)

    @property
    def condition(self) -> Condition:
        """In the words of every engine."""
        match self.status:
            case "running":
                return "running"
            case "paused":
                return "paused"
            case "restarting" | "created":
                return "restarting"
            case _:
                return "crash-looping" if self.restarts >= MAX_RESTARTS else "exited"


def read_containers(client: "APIClient", project: str) -> tuple[Container, ...]:
    """All containers of the project, in the order of the stack's services. One that goes meanwhile is left out."""
    from docker.errors import NotFound

    found = []
    for item in client.containers(all=True, filters={"label": [f"{PROJECT}={project}"]}):
        try:
            found.append(_parse(client.inspect_container(item["Id"])))
        except NotFound:
            continue
    order = {name: number for number, name in enumerate(service_names())}
    return tuple(sorted(found, key=lambda container: order.get(container.service, len(order))))


def _parse(about: Mapping[str, Any]) -> Container:
    state, labels = about["State"], about["Config"]["Labels"]
    return Container(
        id=about["Id"],
        service=labels.get(SERVICE, ""),
        status=state["Status"],
        pid=state["Pid"],
        restarts=about["RestartCount"],
        exit_code=state["ExitCode"],
        started_at=_seconds(state["StartedAt"]),
        finished_at=_seconds(state["FinishedAt"]),
        instance=labels.get(INSTANCE, ""),
        note=labels.get(NOTE, ""),
    )


def _seconds(text: str) -> float:
    """Docker's RFC 3339 with nanoseconds; the year 1 means never."""
    moment = datetime.fromisoformat(f"{text[:19]}+00:00")
    fraction = text[19:].rstrip("Z").partition("+")[0]
    return 0.0 if moment.year == 1 else moment.timestamp() + float(f"0{fraction}" if fraction else 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """What the containers say of their stack, in a label: what `start` was given, and the settings that a restart needs."""

    labels: Mapping[str, str]
    ports: Mapping[str, int]
    workers: int


def render_note(note: Note) -> str:
    """The label's text."""
    return json.dumps({"format": FORMAT, **asdict(note)}, separators=(",", ":"))


def parse_note(text: str) -> Note | None:
    """Read what `render_note` wrote; None for a container that we did not start.

    Raises: PreconditionError when a newer sandbox did.
    """
    try:
        value = json.loads(text)
        if value.pop("format") > FORMAT:
            raise PreconditionError("a newer sandbox started this stack", hint="git pull && make up")
        return Note(**value)
    except (ValueError, TypeError, AttributeError, KeyError):
        return None


def endpoints_for(ports: Mapping[str, int]) -> Endpoints:
    """Where everything is when these are the published ports: services by their names inside, loopback outside."""
    return Endpoints(
        inside={port.name: Address(host=service.name, port=port.number) for service in SERVICES for port in service.ports},
        host={port.name: Address(host=HOST, port=ports[port.name]) for port in PUBLISHED},
    )


def describe_stack(containers: tuple[Container, ...], *, begun_at: float | None, being_started: bool) -> StackState:
    """The state of the stack that these containers are.

    `begun_at` is when a start began that nobody has ended (seconds since the epoch). `being_started`: a command is at work on it.

    Raises: PreconditionError when a newer sandbox made them.
    """
    if not containers:
        if begun_at is None:
            return StackState(phase="stopped")
        return StackState(phase="starting") if being_started else StackState(phase="crashed", crashed_at=begun_at)
    note = parse_note(containers[0].note)
    endpoints = endpoints_for(note.ports) if note else None
    whole = {container.service for container in containers} >= set(service_names())
    # After a restart of the engine Envoy stays away, which ended well; the services, which a signal ended, are started again.
    ended = any(container.status == "created" or _is_envoy_gone(container) for container in containers)
    if note and whole and not ended:
        return StackState(
            phase="running", endpoints=endpoints, services=tuple(map(_service_state, containers)), labels=note.labels
        )
    if being_started:
        return StackState(phase="starting", endpoints=endpoints, labels=note.labels if note else None)
    ends = [container.finished_at for container in containers if container.finished_at]
    return StackState(phase="crashed", crashed_at=max(ends, default=datetime.now(tz=UTC).timestamp()))


def _is_envoy_gone(container: Container) -> bool:
    """Ended as asked; one that was killed is a service that has exited, like any other."""
    return container.service == ENVOY.name and container.condition == "exited" and container.exit_code == 0


def _service_state(container: Container) -> ServiceState:
    lives = container.condition == "running"
    return ServiceState(
        name=container.service,
        state=container.condition,
        pid=container.pid if lives else None,
        uptime_s=max(0.0, datetime.now(tz=UTC).timestamp() - container.started_at) if lives else 0.0,
        restarts=container.restarts,
    )
