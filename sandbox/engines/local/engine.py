"""The local engine as the command line sees it: takes ports, starts guard and supervisor, talks to the supervisor's socket."""

import contextlib
import fcntl
import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from sandbox.engines.base import Run, ServiceState, StackState, WantedPort
from sandbox.engines.local import ports
from sandbox.engines.local.control import Channel, Message, connect
from sandbox.engines.local.guard import ALIVE, CRASHED
from sandbox.engines.local.journal import read_journal
from sandbox.engines.local.orphans import MARK, kill_orphans
from sandbox.engines.local.plan import FORMAT, Plan, parse_endpoints, write_plan
from sandbox.engines.local.supervisor import INSTANCE, PLAN
from sandbox.errors import PreconditionError, StackError
from sandbox.events import EngineEvent, LogRecord, ServiceExited, ServiceStarted, ServiceStopped
from sandbox.files import load_json, make_private_folder, write_atomic
from sandbox.stack import PUBLISHED, SERVICES, Address, Endpoints, Launch
from sandbox.wait import Deadline
from sandbox.workspace import State

ABORT_TIMEOUT_S = 10.0
ORPHAN_PATIENCE_S = 0.5
POLL_S = 0.01
SUPERVISOR_LOG = "supervisor.log"


class LocalEngine:
    """Implements `Engine` with processes of this user."""

    name = "local"

    def __init__(self, state: State, services_root: Path) -> None:
        self._state = state
        self._services_root = services_root
        self._listeners: dict[str, socket.socket] = {}
        self._endpoints: Endpoints | None = None

    def find(self) -> StackState:
        """See `Engine.find`."""
        run = self._state.run
        note = load_json(run / INSTANCE)
        written_by = note.get("format") if note else None
        if isinstance(written_by, int) and written_by > FORMAT:
            raise PreconditionError("a newer sandbox started this stack", hint="pip install --upgrade envoy-wasm-sandbox")
        channel = connect(run)
        if channel:
            with contextlib.closing(channel):
                channel.send({"op": "state"})
                for message in _messages(channel, Deadline(5.0)):
                    if message["event"] == "state":
                        return _parse_state(message)
        try:
            last_sign = run.stat().st_mtime
        except FileNotFoundError:
            return StackState(phase="stopped")
        noted = (load_json(run / CRASHED) or {}).get("at")
        return StackState(phase="crashed", crashed_at=noted if isinstance(noted, float) else last_sign)

    def reserve(self, wanted: Sequence[WantedPort]) -> tuple[Endpoints, Sequence[str]]:
        """See `Engine.reserve`. Python services get their sockets, so nobody can take those ports; Envoy binds its own."""
        notices = []
        anything = [WantedPort(name=port.name, number=0, exact=False) for service in SERVICES for port in service.ports]
        wishes = {want.name: want for want in (*anything, *wanted)}
        addresses: dict[str, Address] = {}
        for want in sorted(wishes.values(), key=lambda want: not want.exact):
            listener = ports.listen(want.number)
            if listener is None:
                mine = (f"the {name}" for name, address in addresses.items() if address.port == want.number)
                holder = next(mine, None) or ports.holder_of(want.number)
                if want.exact:
                    raise PreconditionError(
                        f"port {want.number} for the {want.name} is taken by {holder}",
                        hint=f"sandbox up --{want.name}-port {want.number + 1}",
                    )
                listener = ports.listen(0)
                if listener is None:
                    raise PreconditionError("no free port is left on 127.0.0.1", hint="ss -ltn")
                notices.append(f"port {want.number} is taken by {holder}: the {want.name} is on {ports.port_of(listener)}")
            addresses[want.name] = Address(host=ports.HOST, port=ports.port_of(listener))
            self._listeners[want.name] = listener
        for port in SERVICES[0].ports:
            self._listeners.pop(port.name).close()
        host = {port.name: addresses[port.name] for port in PUBLISHED}
        self._endpoints = Endpoints(inside={name: addresses[name] for name in wishes}, host=host)
        return self._endpoints, notices

    def start(self, launches: Sequence[Launch], files: Mapping[str, bytes], labels: Mapping[str, str]) -> Run:
        """See `Engine.start`."""
        if self._endpoints is None:
            raise ValueError("reserve ports first")
        plan = Plan(
            instance=secrets.token_hex(8),
            services_root=str(self._services_root),
            logs=str(self._state.logs),
            crashes=str(self._state.crashes),
            endpoints=self._endpoints,
            launches=tuple(launches),
            sockets={name: listener.fileno() for name, listener in self._listeners.items()},
            labels=dict(labels),
        )
        mine, theirs = socket.socketpair()
        try:
            self._lay_out(files, plan)
            guard = self._start_guard(theirs.fileno(), plan)
        except BaseException as error:
            mine.close()  # a guard that did start ends with it
            self.clean_up(Deadline(ABORT_TIMEOUT_S))
            if isinstance(error, OSError):
                raise PreconditionError(
                    f"cannot start in {self._state.run}: {error.strerror}", hint=f"df -h {self._state.root}"
                ) from error
            raise
        finally:
            theirs.close()
            self.release()
        return _LocalRun(self, Channel(mine), guard)

    def _lay_out(self, files: Mapping[str, bytes], plan: Plan) -> None:
        run = self._state.run
        shutil.rmtree(run, ignore_errors=True)
        make_private_folder(self._state.root)
        for folder in (run, self._state.logs):
            make_private_folder(folder)
        for name, content in files.items():
            (run / name).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_atomic(run / name, content)
        write_plan(run / PLAN, plan)

    def _start_guard(self, owner: int, plan: Plan) -> "subprocess.Popen[bytes]":
        run = self._state.run
        write_atomic(self._state.logs / SUPERVISOR_LOG, b"")
        with (self._state.logs / SUPERVISOR_LOG).open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-P", "-m", "sandbox.engines.local.guard", str(run), str(owner)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                pass_fds=(owner, *plan.sockets.values()),
                env={**os.environ, MARK: str(run)},
            )

    def release(self) -> None:
        """Let go of the reserved ports; the supervisor has its own descriptors of them."""
        for listener in self._listeners.values():
            listener.close()
        self._listeners.clear()

    def stop(self, *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.stop`."""
        channel = connect(self._state.run)
        if channel:
            with contextlib.closing(channel):
                channel.send({"op": "stop", "kill": False})
                yield from (event for message in _messages(channel, deadline) if (event := _parse_event(message)))
                if not channel.closed:
                    channel.send({"op": "stop", "kill": True})
        self.clean_up(deadline)

    def restart(self, services: Sequence[str], *, deadline: Deadline) -> Iterator[EngineEvent]:
        """See `Engine.restart`."""
        channel = connect(self._state.run)
        if channel is None:
            raise StackError("no stack is running", hint="sandbox up")
        awaited = set(services)
        with contextlib.closing(channel):
            channel.send({"op": "restart", "services": list(services)})
            for message in _messages(channel, deadline):
                event = _parse_event(message)
                if event is None:
                    continue
                yield event
                if isinstance(event, ServiceStarted):
                    awaited.discard(event.service)
                if not awaited:
                    return
        raise StackError(f"{', '.join(sorted(awaited))} did not start again in time", hint="sandbox logs")

    def logs(self, *, services: Sequence[str], since_s: float | None, tail: int | None, follow: bool) -> Iterator[LogRecord]:
        """See `Engine.logs`."""
        return read_journal(
            self._state.logs, services=services, since_s=since_s, tail=tail, while_=self.alive if follow else None
        )

    def ended_early(self) -> StackError:
        """Why a stack that this process was starting is gone."""
        if (self._state.run / CRASHED).exists():
            log = self._state.logs / SUPERVISOR_LOG
            last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            return StackError(f"the supervisor crashed: {last or 'it was killed'}", hint=f"cat {log}; sandbox up")
        return StackError("the stack was stopped while it started", hint="sandbox up")

    def alive(self) -> bool:
        """Whether anything of the stack still runs: guard, supervisor or a service."""
        try:
            handle = os.open(self._state.root / ALIVE, os.O_RDWR)
        except FileNotFoundError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def clean_up(self, deadline: Deadline) -> None:
        """Wait until all processes are gone, end those whose supervisor and guard were both killed, remove the run folder.

        Raises: StackError when something survives even SIGKILL.
        """
        channel = connect(self._state.run)
        if channel:
            channel.close()
        patience = Deadline(max(ORPHAN_PATIENCE_S, deadline.remaining_s if channel else 0.0))
        while self.alive():
            if patience.over:
                kill_orphans(self._state.run)
            if patience.elapsed_s > patience.timeout_s + ABORT_TIMEOUT_S:
                raise StackError("something of the stack cannot be ended", hint=f"lsof {self._state.root / ALIVE}")
            time.sleep(POLL_S)
        shutil.rmtree(self._state.run, ignore_errors=True)


class _LocalRun:
    """Implements `Run`. As long as it is not released, its end of the socket is what keeps the stack alive."""

    def __init__(self, engine: LocalEngine, owner: Channel, guard: "subprocess.Popen[bytes]") -> None:
        self._engine = engine
        self._owner = owner
        self._guard = guard

    def events(self, timeout_s: float) -> Sequence[EngineEvent]:
        """See `Run.events`."""
        messages = self._owner.wait(timeout_s)
        if self._owner.closed or any(message["event"] == "end" for message in messages):
            self._guard.wait()
            raise self._engine.ended_early()
        return [event for message in messages if (event := _parse_event(message))]

    def adopt(self, *, release: bool) -> None:
        """See `Run.adopt`."""
        self._owner.send({"op": "adopt", "release": release})

    def abort(self) -> None:
        """See `Run.abort`."""
        deadline = Deadline(ABORT_TIMEOUT_S)
        try:
            self._owner.send({"op": "stop", "kill": False})
            for _ in _messages(self._owner, deadline):
                pass
        finally:
            # Also on a second Ctrl-C, which ends the wait above: then nobody is asked any more.
            if not self._owner.closed:
                self._owner.send({"op": "stop", "kill": True})
            self._guard.wait()
            self._engine.clean_up(deadline)


def _messages(channel: Channel, deadline: Deadline) -> Iterator[Message]:
    while not channel.closed and not deadline.over:
        for message in channel.wait(deadline.remaining_s):
            if message["event"] == "end":
                channel.closed = True
                return
            yield message


def _parse_event(message: Message) -> EngineEvent | None:
    match message["event"]:
        case "started":
            return ServiceStarted(service=message["service"], pid=message["pid"])
        case "exited":
            return ServiceExited(service=message["service"], returncode=message["returncode"], tail=tuple(message["tail"]))
        case "stopped":
            return ServiceStopped(service=message["service"])
        case _:
            return None


def _parse_state(message: Message) -> StackState:
    return StackState(
        phase=message["phase"],
        endpoints=parse_endpoints(message["endpoints"]),
        services=tuple(ServiceState(**item) for item in message["services"]),
        labels=message["labels"],
        started_at=message["started_at"],
    )
