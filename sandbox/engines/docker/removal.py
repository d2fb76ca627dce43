"""The end of a project's containers, networks and volumes: by label, without compose.yaml, which may be broken by now."""

import contextlib
import threading
from collections.abc import Callable, Collection, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING

from sandbox.engines.docker.containers import PROJECT, Container
from sandbox.errors import StackError
from sandbox.events import ServiceStopped
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

VOLUME = "com.docker.compose.volume"
PATIENCE_S = 3
"""What a service has to end by itself; ours need less than 1 s."""


def remove_containers(
    open_client: "Callable[[], APIClient]", containers: Collection[Container], deadline: Deadline
) -> Iterator[ServiceStopped]:
    """End and remove the containers, all at once; yields each as it is gone.

    Raises: StackError when the engine cannot, or the time is up.
    """
    outcomes: SimpleQueue[Container | Exception] = SimpleQueue()

    def remove(container: Container) -> None:
        from docker.errors import APIError, NotFound

        try:
            with contextlib.closing(open_client()) as client:
                with contextlib.suppress(NotFound):
                    client.stop(container.id, timeout=PATIENCE_S)
                try:
                    client.remove_container(container.id, v=True, force=True)
                except NotFound:
                    pass
                except APIError as error:
                    if error.status_code != 409:  # somebody else is removing it
                        raise
            outcomes.put(container)
        except Exception as error:
            outcomes.put(error)

    for container in containers:
        threading.Thread(target=remove, args=(container,), name=f"docker rm {container.service}", daemon=True).start()
    for _ in containers:
        try:
            outcome = outcomes.get(timeout=deadline.remaining_s)
        except Exception as error:
            raise StackError("Docker does not end the containers in time", hint="docker ps -a") from error
        if isinstance(outcome, Exception):
            raise StackError(f"Docker cannot remove a container: {outcome}", hint="docker ps -a") from outcome
        yield ServiceStopped(service=outcome.service)


def remove_networks(client: "APIClient", project: str) -> None:
    """Remove the project's networks."""
    from docker.errors import NotFound

    for network in client.networks(filters={"label": [f"{PROJECT}={project}"]}):
        with contextlib.suppress(NotFound):
            client.remove_network(network["Id"])


def remove_volumes(client: "APIClient", project: str, *, but: Collection[str] = ()) -> None:
    """Remove the project's volumes, except those that compose.yaml calls so."""
    from docker.errors import NotFound

    for volume in client.volumes(filters={"label": [f"{PROJECT}={project}"]})["Volumes"] or ():
        if volume["Labels"].get(VOLUME) not in but:
            with contextlib.suppress(NotFound):
                client.remove_volume(volume["Name"])
