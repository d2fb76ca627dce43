"""What else tells that a stack will not get ready: a service that ended, Envoy's log, a service that was given up."""

import time
from collections.abc import Sequence

from sandbox.engines.base import Engine, PortTakenError
from sandbox.errors import RefusedError, StackError
from sandbox.events.stack import EngineEvent, ServiceExited
from sandbox.observe.envoy_log import parse_envoy_line, refusal
from sandbox.stack import ENVOY
from sandbox.wait import Deadline

LOOK_EVERY_S = 0.25
TAIL_LINES = 20
FILTER_LINES = 5


def raise_for_exit(events: Sequence[EngineEvent]) -> None:
    """End the wait when a service ended while starting.

    Raises: StackError with its last lines; PortTakenError when that was why.
    """
    for event in events:
        if not isinstance(event, ServiceExited):
            continue
        if event.service == ENVOY.name and any(map(_port_taken, event.tail)):
            raise PortTakenError
        how = f"signal {-event.returncode}" if event.returncode < 0 else f"code {event.returncode}"
        raise StackError(
            f"{event.service} ended while starting, with {how}",
            details="\n".join(event.tail),
            hint=f"sandbox logs {event.service}",
        )


def raise_for_log(engine: Engine, *, since_s: float, unfiltered: bool) -> None:
    """Find out what Envoy says only in its log, from `since_s` (epoch, UTC) on.

    It binds early, listens late and lives on when it cannot: then whoever answers on that port is not ours. And with a
    refused filter every request is answered `unfiltered` with 500 while it counts as live.

    Raises: PortTakenError, RefusedError.
    """
    records = engine.logs(services=(ENVOY.name,), since_s=since_s, tail=None, follow=False)
    lines = [record.line for record in records]
    if any(map(_port_taken, lines)):
        raise PortTakenError
    reason = refusal(lines) if unfiltered else None
    if reason:
        raise RefusedError(f"Envoy refused the filter: {reason}", hint="envoy/xds/filter.yaml holds its configuration")


def filter_lines(engine: Engine, *, since_s: float) -> str:
    """What the filter itself wrote last, from `since_s` on, a line each; without repetitions."""
    records = engine.logs(services=(ENVOY.name,), since_s=since_s, tail=None, follow=False)
    lines = [line for record in records if (line := parse_envoy_line(record.line)).plugin]
    return "\n".join(list(dict.fromkeys(f"{line.plugin}: {line.text}" for line in lines))[-FILTER_LINES:])


def _port_taken(line: str) -> bool:
    return "Address already in use" in line or "cannot listen()" in line


class ServiceWatch:
    """Events of a stack that somebody else's supervisor runs: there are none, but a service can be given up."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._next_look = Deadline(LOOK_EVERY_S)

    def events(self, timeout_s: float) -> Sequence[EngineEvent]:
        """Let time pass.

        Raises: StackError when the stack is gone, or a service ended too often to be started again, with its last lines.
        """
        time.sleep(timeout_s)
        if not self._next_look.over:
            return ()
        self._next_look = Deadline(LOOK_EVERY_S)
        found = self._engine.find()
        if found.phase != "running":
            raise StackError(f"the stack is {found.phase}", hint="sandbox up")
        for service in found.services:
            if service.state == "crash-looping":
                lines = self._engine.logs(services=(service.name,), since_s=None, tail=TAIL_LINES, follow=False)
                raise StackError(
                    f"{service.name} ends as soon as it is started",
                    details="\n".join(record.line for record in lines),
                    hint=f"sandbox logs {service.name}",
                )
        return ()
