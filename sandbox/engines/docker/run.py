"""A start on Docker: `docker compose up` under way, and what the engine tells of the containers meanwhile."""

import contextlib
import queue
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from sandbox.engines.base import PortTakenError
from sandbox.engines.docker.compose.command import STOPPED, ComposeRun
from sandbox.engines.docker.containers import INSTANCE, SERVICE
from sandbox.errors import StackError
from sandbox.events.stack import EngineEvent, ServiceExited, ServiceHealthy, ServiceStarted
from sandbox.wait import Deadline

if TYPE_CHECKING:
    from docker import APIClient

TAIL_LINES = 20
VERDICT_S = 0.5
"""How long the end of a container may be told after compose has ended over it."""
FINISH_TIMEOUT_S = 3.0
SIGNALLED = 128


class DockerRun:
    """Implements `Run`. `end_stack` is the engine's way to end what was started."""

    def __init__(self, compose: ComposeRun, watch: "ContainerWatch", end_stack: Callable[[], None]) -> None:
        self._compose = compose
        self._watch = watch
        self._end_stack = end_stack
        self._said: list[str] = []

    def events(self, timeout_s: float) -> Sequence[EngineEvent]:
        """See `Run.events`."""
        self._said += self._compose.lines(Deadline(0.0))
        if not self._compose.returncode:
            return self._watch.events(timeout_s)
        from sandbox.engines.docker.compose.failures import taken_port

        if taken_port(self._said) is not None:
            raise PortTakenError
        events: list[EngineEvent] = []
        verdict = Deadline(VERDICT_S)
        while not verdict.over:
            events += self._watch.events(verdict.remaining_s)
            if any(isinstance(event, ServiceExited) for event in events):
                return events
        raise self._compose.problem(self._said, doing="start") or StackError("compose ended", hint="sandbox up")

    def adopt(self, *, release: bool) -> None:  # noqa: ARG002 - containers outlive us in any case
        """See `Run.adopt`; the containers' own policy restarts them."""
        self._compose.wait(FINISH_TIMEOUT_S)
        self._close()

    def abort(self) -> None:
        """See `Run.abort`."""
        try:
            self._close()
        finally:
            self._end_stack()

    def _close(self) -> None:
        self._watch.close()
        self._compose.end()


class ContainerWatch:
    """What happens to the containers of one instance of the stack, told by the engine and read by a thread."""

    def __init__(self, open_client: "Callable[[], APIClient]", instance: str) -> None:
        self._client = open_client()
        self._stream = self._client.events(decode=True, filters={"type": "container", "label": f"{INSTANCE}={instance}"})
        self._queue: queue.SimpleQueue[EngineEvent | StackError] = queue.SimpleQueue()
        self._asked_to_end: set[str] = set()
        threading.Thread(target=self._read, name="docker events", daemon=True).start()

    def events(self, timeout_s: float) -> list[EngineEvent]:
        """Wait for the next, and take those that are there.

        Raises: StackError when somebody ends a container.
        """
        found: list[EngineEvent] = []
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=timeout_s)
            while True:
                if isinstance(item, StackError):
                    raise item
                found.append(item)
                item = self._queue.get_nowait()
        return found

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(Exception):  # the SDK raises what it likes when a stream is closed under its reader
            self._stream.close()
        self._client.close()

    def _read(self) -> None:
        why = "the engine hung up"
        try:
            for event in self._stream:
                self._take(event)
        except Exception as error:  # whatever the SDK raises when its stream is closed
            why = str(error)
        # When it was closed by us, nobody reads this.
        self._queue.put(StackError(f"Docker does not tell any more how the containers do: {why}", hint="docker info"))

    def _take(self, event: dict[str, Any]) -> None:
        from docker.errors import APIError, NotFound

        service = event["Actor"]["Attributes"].get(SERVICE, "")
        container = event["Actor"]["ID"]
        match event["Action"]:
            case "start":
                with contextlib.suppress(NotFound):
                    about = self._client.inspect_container(container)
                    self._queue.put(ServiceStarted(service=service, pid=about["State"]["Pid"]))
            case "health_status: healthy":
                self._queue.put(ServiceHealthy(service=service))
            case "kill":
                self._asked_to_end.add(container)
            case "destroy":
                self._queue.put(StackError(STOPPED, hint="sandbox up"))
            case "die" if container in self._asked_to_end:
                self._queue.put(StackError(STOPPED, hint="sandbox up"))
            case "die":
                code = int(event["Actor"]["Attributes"].get("exitCode", 0))
                tail: list[str] = []
                with contextlib.suppress(APIError):
                    tail = self._client.logs(container, tail=TAIL_LINES).decode(errors="replace").splitlines()
                returncode = SIGNALLED - code if code > SIGNALLED else code
                self._queue.put(ServiceExited(service=service, returncode=returncode, tail=tuple(tail)))
