"""The local engine as the command line sees it: takes ports, starts a stack, talks to the supervisor's socket."""

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path

from sandbox.engines.base import Run, StackState, WantedPort
from sandbox.engines.journal import read_journal
from sandbox.engines.local.cleanup import clean_up, is_alive
from sandbox.engines.local.control import connect
from sandbox.engines.local.messages import parse_state, read_events, read_messages
from sandbox.engines.local.plan import FORMAT, Plan
from sandbox.engines.local.start import start_stack
from sandbox.engines.ports import Reservation, reserve
from sandbox.errors import PreconditionError, StackError
from sandbox.events.stack import EngineEvent, LogRecord, ServiceStarted
from sandbox.files import is_locked, load_json
from sandbox.stack import Endpoints, Launch
from sandbox.wait import Deadline
from sandbox.workspace import RUN_CRASHED, RUN_INSTANCE, State

ANSWER_TIMEOUT_S = 5.0


class LocalEngine:
    """Implements `Engine` with processes of this user."""

    name = "local"

    def __init__(self, state: State, services_root: Path, *, because: str = "") -> None:
        """`because`: what to say when it starts a stack, where it was not the first choice."""
        self._state = state
        self._services_root = services_root
        self._because = because
        self._reservation: Reservation | None = None

    def find(self) -> StackState:
        """See `Engine.find`."""
        run = self._state.run
        note = load_json(run / RUN_INSTANCE)
        written_by = note.get("format") if note else None
        if isinstance(written_by, int) and written_by > FORMAT:
            raise PreconditionError("a newer sandbox started this stack", hint="git pull && make up")
        channel = connect(run)
        if channel:
            with contextlib.closing(channel):
                channel.send({"op": "state"})
                for message in read_messages(channel, Deadline(ANSWER_TIMEOUT_S)):
                    if message.get("event") == "state":
                        return parse_state(message)
        try:
            last_sign = run.stat().st_mtime
        except FileNotFoundError:
            return StackState(phase="stopped")
        # Another command lays it out this very moment, or its supervisor has no time to answer yet.
        if (not note or note.get("phase") == "starting") and is_locked(self._state.lock):
            return StackState(phase="starting")
        noted = (load_json(run / RUN_CRASHED) or {}).get("at")
        return StackState(phase="crashed", crashed_at=noted if isinstance(noted, float) else last_sign)

    def prepare(self) -> Iterator[EngineEvent]:
        """See `Engine.prepare`; everything is installed."""
        return iter(())

    def reserve(self, wanted: Sequence[WantedPort]) -> tuple[Endpoints, Sequence[str]]:
        """See `Engine.reserve`."""
        self.release()
        self._reservation = reserve(wanted)
        because, self._because = (self._because,) if self._because else (), ""
        return self._reservation.endpoints, (*because, *self._reservation.notices)

    def release(self) -> None:
        """Let go of the reserved ports."""
        if self._reservation:
            self._reservation.release()

    def start(self, launches: Sequence[Launch], files: Mapping[str, bytes], labels: Mapping[str, str]) -> Run:
        """See `Engine.start`."""
        if self._reservation is None:
            raise ValueError("reserve ports first")
        plan = Plan(
            services_root=str(self._services_root),
            logs=str(self._state.logs),
            crashes=str(self._state.crashes),
            endpoints=self._reservation.endpoints,
            launches=tuple(launches),
            sockets={name: listener.fileno() for name, listener in self._reservation.listeners.items()},
            labels=dict(labels),
        )
        try:
            return start_stack(self._state, plan, files)
        finally:
            self.release()

    def stop(self, *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.stop`."""
        channel = connect(self._state.run)
        if channel:
            with contextlib.closing(channel):
                channel.send({"op": "stop", "kill": False})
                yield from read_events(channel, deadline)
                if not channel.closed:
                    channel.send({"op": "stop", "kill": True})
        clean_up(self._state, deadline)

    def forget(self) -> None:
        """See `Engine.forget`; everything is in the state folder."""

    def restart(self, services: Sequence[str], *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.restart`."""
        channel = connect(self._state.run)
        if channel is None:
            raise StackError("no stack is running", hint="sandbox up")
        awaited = set(services)
        with contextlib.closing(channel):
            channel.send({"op": "restart", "services": list(services)})
            for event in read_events(channel, deadline):
                yield event
                if isinstance(event, ServiceStarted):
                    awaited.discard(event.service)
                if not awaited:
                    return
        raise StackError(f"{', '.join(sorted(awaited))} did not start again in time", hint="sandbox logs")

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
        """See `Engine.logs`."""
        goes_on = (lambda: is_alive(self._state)) if follow else None

        def wanted(record: LogRecord) -> bool:
            timely = since_s is None or record.time_s >= since_s
            return timely and (not services or record.service in services) and matching(record)

        return read_journal(self._state.logs, wanted=wanted, tail=tail, while_=goes_on, since_s=since_s, containing=containing)
