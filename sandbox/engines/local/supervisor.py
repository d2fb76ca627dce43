"""The supervisor: one thread, one loop, that starts the services, reads their lines, starts crashed ones again and ends them all.

It ends the stack when it is told to, when its owner goes away before adopting it, and when its guard dies.
"""

import contextlib
import gc
import os
import selectors
import shutil
import signal
import socket
import sys
import time
import types
from dataclasses import asdict
from pathlib import Path
from typing import Any

from sandbox.engines.local.child import Child
from sandbox.engines.local.control import SOCKET, Channel, Message
from sandbox.engines.local.journal import JournalWriter
from sandbox.engines.local.plan import FORMAT, Plan, load_plan
from sandbox.errors import PreconditionError
from sandbox.files import make_private_folder, write_atomic, write_json

INSTANCE = "instance.json"
PLAN = "plan.json"
STOP_TIMEOUT_S = 5.0
SWEEP_S = 1.0
MAX_CRASH_LOGS = 5


def supervise(run: Path, *, owner_handle: int, guard_handle: int, alive_handle: int) -> int:
    """Run the stack of `run`/plan.json to its end; returns the exit code."""
    os.chdir(run)
    plan = load_plan(Path(PLAN))
    _import_services_from(Path(plan.services_root))
    owner = socket.socket(fileno=owner_handle)
    supervisor = Supervisor(plan, Channel(owner), guard_handle, alive_handle)
    supervisor.loop()
    os.chdir("/")
    shutil.rmtree(run, ignore_errors=True)
    return 0


def _import_services_from(root: Path) -> None:
    """Make `services` the project's own, wherever else a package of that name can be found; nothing else comes from there."""
    package = types.ModuleType("services")
    package.__path__ = [str(root / "services")]
    sys.modules["services"] = package


class Supervisor:
    """State of the loop. Everything in it is touched by one thread."""

    def __init__(self, plan: Plan, owner: Channel, guard_handle: int, alive_handle: int) -> None:
        self._plan = plan
        self._owner: Channel | None = owner
        self._clients: list[Channel] = [owner]
        self._adopted = False
        self._stopping_since_s: float | None = None
        self._started_at = time.time()
        self._alive = alive_handle
        self._journal = JournalWriter(Path(plan.logs))
        self._selector = selectors.DefaultSelector()
        self._children = [Child(launch, plan.sockets[launch.listens] if launch.listens else None) for launch in plan.launches]
        self._watch(owner.connection, lambda: self._hear(owner))
        self._watch(guard_handle, lambda: self._lose_guard(guard_handle))
        self._wake_on_signals()
        self._listen()

    def loop(self) -> None:
        """Start everything, then decide until all has ended."""
        self._write_instance()
        # Programs first: they need nothing of ours, and load while this process imports what the servers share.
        for child in sorted(self._children, key=lambda child: bool(child.launch.serve)):
            self._spawn(child)
        gc.freeze()
        while not (self._stopping_since_s is not None and all(child.pid is None for child in self._children)):
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            self._reap()
            self._start_due()
            self._kill_overdue()
        for child in self._children:
            self._drain(child)
        for client in self._clients:
            client.send({"event": "end"})
            client.close()

    # Watching

    def _watch(self, source: Any, react: Any) -> None:
        self._selector.register(source, selectors.EVENT_READ, react)

    def _wake_on_signals(self) -> None:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.set_blocking(write_end, False)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._stop())
        self._watch(read_end, lambda: os.read(read_end, 1 << 12))

    def _listen(self) -> None:
        server = socket.socket(socket.AF_UNIX)
        server.bind(SOCKET)
        Path(SOCKET).chmod(0o600)
        server.listen()
        server.setblocking(False)  # noqa: FBT003 - its only form

        def accept() -> None:
            with contextlib.suppress(OSError):
                connection, _ = server.accept()
                client = Channel(connection)
                self._clients.append(client)
                self._watch(connection, lambda: self._hear(client))

        self._watch(server, accept)

    def _patience_s(self) -> float:
        due = [child.start_again_at_s for child in self._children if child.start_again_at_s is not None]
        return max(0.0, min([SWEEP_S, *(at - time.monotonic() for at in due)]))

    # Services

    def _spawn(self, child: Child) -> None:
        child.spawn(self._alive)
        self._watch(child.output, lambda: self._pump(child))
        self._write_instance()
        self._tell({"event": "started", "service": child.name, "pid": child.pid})

    def _pump(self, child: Child) -> None:
        output = child.output
        for line in child.lines():
            self._journal.write(child.name, line)
        if child.output is None:
            self._selector.unregister(output)  # type: ignore[arg-type]

    def _drain(self, child: Child) -> None:
        """Take what a dead service still had to say; a grandchild that holds the pipe open keeps nobody waiting."""
        while child.output is not None:
            before = len(self._selector.get_map()), list(child.tail)
            self._pump(child)
            if before == (len(self._selector.get_map()), list(child.tail)):
                break
        if child.output is not None:
            self._selector.unregister(child.output)
            os.close(child.output)
            child.output = None

    def _reap(self) -> None:
        for child in self._children:
            returncode = child.reap()
            if returncode is None:
                continue
            self._drain(child)
            if self._stopping_since_s is not None or child.ending_since_s is not None:
                self._tell({"event": "stopped", "service": child.name})
                if self._stopping_since_s is None:
                    child.start_again_at_s = time.monotonic()
                continue
            tail = [line.decode(errors="replace") for line in child.tail]
            self._tell({"event": "exited", "service": child.name, "returncode": returncode, "tail": tail})
            if self._adopted:
                child.restarts += 1
                child.plan_restart()
                self._journal.write(child.name, f"[sandbox] exited with {returncode}; {child.state}".encode())
                if child.state == "crash-looping":
                    self._keep_crash_log(child, tail)
            self._write_instance()

    def _start_due(self) -> None:
        for child in self._children:
            due = child.start_again_at_s is not None and time.monotonic() >= child.start_again_at_s
            if due and self._stopping_since_s is None:
                self._spawn(child)

    def _keep_crash_log(self, child: Child, tail: list[str]) -> None:
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        with contextlib.suppress(PreconditionError):
            folder = make_private_folder(Path(self._plan.crashes))
            write_atomic(folder / f"{child.name}-{stamp}.log", "\n".join(tail).encode() + b"\n")
            for old in sorted(folder.glob(f"{child.name}-*.log"))[:-MAX_CRASH_LOGS]:
                old.unlink(missing_ok=True)

    # Ending

    def _stop(self) -> None:
        if self._stopping_since_s is None:
            self._stopping_since_s = time.monotonic()
            for child in self._children:
                child.start_again_at_s = None
                child.signal(signal.SIGTERM)

    def _lose_guard(self, handle: int) -> None:
        self._selector.unregister(handle)
        self._stop()

    def _kill_overdue(self) -> None:
        now = time.monotonic()
        for child in self._children:
            since = self._stopping_since_s if self._stopping_since_s is not None else child.ending_since_s
            if child.pid is not None and since is not None and now - since > STOP_TIMEOUT_S:
                child.signal(signal.SIGKILL)

    # Talking

    def _tell(self, message: Message) -> None:
        for client in self._clients:
            client.send(message)

    def _hear(self, client: Channel) -> None:
        messages = client.read()
        for message in messages:
            self._obey(client, message)
        if client.closed:
            self._forget(client)

    def _forget(self, client: Channel) -> None:
        self._clients.remove(client)
        self._selector.unregister(client.connection)
        client.close()
        if client is self._owner:
            self._stop()

    def _obey(self, client: Channel, message: Message) -> None:
        match message:
            case {"op": "state"}:
                client.send({"event": "state", **self._state()})
            case {"op": "adopt", "release": bool(release)}:
                self._adopted = True
                if release:
                    self._owner = None
                self._write_instance()
            case {"op": "stop", "kill": bool(kill)}:
                self._stop()
                if kill:
                    for child in self._children:
                        child.signal(signal.SIGKILL)
            case {"op": "restart", "services": list(names)}:
                self._restart(names)

    def _restart(self, names: list[str]) -> None:
        for child in self._children:
            if child.name not in names:
                continue
            if child.pid is None:
                child.start_again_at_s = time.monotonic()
            else:
                child.ending_since_s = time.monotonic()
                child.signal(signal.SIGTERM)

    def _state(self) -> Message:
        return {
            "phase": "running" if self._adopted else "starting",
            "endpoints": asdict(self._plan.endpoints),
            "labels": dict(self._plan.labels),
            "started_at": self._started_at,
            "services": [
                {
                    "name": child.name,
                    "state": child.state,
                    "pid": child.pid,
                    "uptime_s": round(time.monotonic() - child.started_s, 3) if child.pid is not None else 0.0,
                    "restarts": child.restarts,
                }
                for child in self._children
            ],
        }

    def _write_instance(self) -> None:
        """Leave a note for whoever finds this stack dead. Nothing in it is acted upon without asking the system.

        A full disk costs the note, not the stack.
        """
        with contextlib.suppress(PreconditionError):
            write_json(Path(INSTANCE), {"format": FORMAT, "instance": self._plan.instance, **self._state()})
