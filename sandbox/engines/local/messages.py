"""What the supervisor says, as events and states; what is not known is passed over."""

from collections.abc import Iterator

from sandbox.engines.base import ServiceState, StackState
from sandbox.engines.local.control import Channel, Message
from sandbox.engines.local.plan import parse_endpoints
from sandbox.events.stack import EngineEvent, ServiceExited, ServiceStarted, ServiceStopped
from sandbox.wait import Deadline


def read_messages(channel: Channel, deadline: Deadline) -> Iterator[Message]:
    """What comes until the supervisor ends, which closes the channel, or the time is up."""
    while not channel.closed and not deadline.over:
        for message in channel.wait(deadline.remaining_s):
            if message.get("event") == "end":
                channel.closed = True
                return
            yield message


def read_events(channel: Channel, deadline: Deadline) -> Iterator[EngineEvent]:
    """The events among `read_messages`."""
    return (event for message in read_messages(channel, deadline) if (event := parse_event(message)))


def parse_event(message: Message) -> EngineEvent | None:
    """The event that a message tells of, if it does."""
    match message:
        case {"event": "started", "service": str(service), "pid": int(pid)}:
            return ServiceStarted(service=service, pid=pid)
        case {"event": "exited", "service": str(service), "returncode": int(returncode), "tail": list(tail)}:
            return ServiceExited(service=service, returncode=returncode, tail=tuple(map(str, tail)))
        case {"event": "stopped", "service": str(service)}:
            return ServiceStopped(service=service)
        case _:
            return None


def parse_state(message: Message) -> StackState:
    """The answer to the question for the state."""
    return StackState(
        phase=message["phase"],
        endpoints=parse_endpoints(message["endpoints"]),
        services=tuple(ServiceState(**item) for item in message["services"]),
        labels=message["labels"],
    )
