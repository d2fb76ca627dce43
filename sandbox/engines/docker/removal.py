"""The end of a project's containers, networks and volumes: by label, without compose.yaml, which may be broken by now."""

import contextlib
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from sandbox.engines.docker.containers import PROJECT, Container, read_containers
from sandbox.errors import StackError
from sandbox.events.stack import ServiceStopped
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

VOLUME = "com.docker.compose.volume"
PATIENCE_S = 3
"""What a service has to end by itself; ours need less than 1 s."""
SETTLE_S = 1.0
"""How long Docker may yet make what it was asked for by a compose that was ended meanwhile."""
LOOK_EVERY_S = 0.05
_BUSY = (403, 409)
"""What the engine answers while somebody else removes the same, or still uses it."""


def remove_project(
    open_client: "Callable[[], APIClient]",
    project: str,
    *,
    keep: Collection[str],
    settle_s: float,
    deadline: Deadline,
    patience_s: int = PATIENCE_S,
) -> Iterator[ServiceStopped]:
    """Remove all of the project but the volumes that compose.yaml calls so, until nothing more has come for `settle_s`.

    Yields each service as it is gone. Whoever does not end within `patience_s` is killed.

    Raises: StackError when the engine cannot, or the time is up and something is left.
    """
    quiet = Deadline(settle_s)
    with contextlib.closing(open_client()) as client:
        while True:
            last = quiet.over
            containers = read_containers(client, project)
            left = len(containers)
            for container in _remove_containers(open_client, containers, deadline, patience_s):
                left -= 1
                yield ServiceStopped(service=container.service)
            networks = client.networks(filters={"label": [f"{PROJECT}={project}"]})
            if settle_s and (containers or networks):
                last, quiet = False, Deadline(settle_s)
            busy = [*_remove_networks(client, networks), *_remove_volumes(client, project, keep)]
            if not left and not busy and (last or deadline.over):
                return
            if deadline.over:
                what = busy[0] if busy else "a container"
                raise StackError(f"Docker does not remove {what}: something else uses it", hint="docker ps -a")
            time.sleep(LOOK_EVERY_S)


def _remove_containers(
    open_client: "Callable[[], APIClient]", containers: Collection[Container], deadline: Deadline, patience_s: int
) -> Iterator[Container]:
    """End and remove the containers, all at once; yields each that is gone, and not those that somebody else is removing."""
    outcomes: SimpleQueue[Container | Exception | None] = SimpleQueue()

    def remove(container: Container) -> None:
        from docker.errors import APIError, NotFound

        try:
            with contextlib.closing(open_client()) as client, contextlib.suppress(NotFound):
                if patience_s:
                    client.stop(container.id, timeout=patience_s)
                client.remove_container(container.id, v=True, force=True)
            outcomes.put(container)
        except Exception as error:
            outcomes.put(None if isinstance(error, APIError) and error.status_code in _BUSY else error)

    for container in containers:
        threading.Thread(target=remove, args=(container,), name=f"docker rm {container.service}", daemon=True).start()
    for _ in containers:
        try:
            outcome = outcomes.get(timeout=deadline.remaining_s)
        except Empty:
            raise StackError("Docker does not end the containers in time", hint="docker ps -a") from None
        if isinstance(outcome, Exception):
            raise StackError(f"Docker cannot remove a container: {outcome}", hint="docker ps -a") from outcome
        if outcome:
            yield outcome


def _remove_networks(client: "APIClient", networks: Collection[Mapping[str, str]]) -> Iterator[str]:
    """Remove networks; yields those that are in use."""
    for network in networks:
        if not _remove(client.remove_network, network["Id"]):
            yield f"the network {network['Name']}"


def _remove_volumes(client: "APIClient", project: str, keep: Collection[str]) -> Iterator[str]:
    for volume in client.volumes(filters={"label": [f"{PROJECT}={project}"]})["Volumes"] or ():
        if volume["Labels"].get(VOLUME) not in keep and not _remove(client.remove_volume, volume["Name"]):
            yield f"the volume {volume['Name']}"


def _remove(remove: Callable[[str], object], name: str) -> bool:
    """Whether it is gone now; False while it is in use."""
    from docker.errors import APIError, NotFound

    try:
        remove(name)
    except NotFound:
        pass
    except APIError as error:
        if error.status_code in _BUSY:
            return False
        raise
    return True
