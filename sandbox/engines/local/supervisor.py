"""The supervisor: one thread, one loop, that starts the services, reads their lines, starts crashed ones again and ends them all.

It ends the stack when it is told to, when its owner goes away without having released it, and when its guard dies.
"""

import contextlib
import gc
import importlib
import selectors
import signal
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path

from sandbox.engines.journal import JournalWriter
from sandbox.engines.local.child import Child
from sandbox.engines.local.clients import Client, Clients
from sandbox.engines.local.control import Message
from sandbox.engines.local.crash_log import keep_crash_log
from sandbox.engines.local.plan import FORMAT, Plan
from sandbox.engines.local.signals import Signals
from sandbox.errors import PreconditionError
from sandbox.files import write_json
from sandbox.workspace import RUN_CONTROL_SOCKET, RUN_INSTANCE

STOP_TIMEOUT_S = 5.0
SWEEP_S = 1.0


class Supervisor:
    """State of the loop. Everything in it is touched by one thread."""

    def __init__(self, plan: Plan, owner: Client, guard_handle: int, alive_handle: int) -> None:
        self._plan = plan
        self._owner: Client | None = owner
        self._adopted = False
        self._stopping_since_s: float | None = None
        self._alive = alive_handle
        self._journal = JournalWriter(Path(plan.logs))
        self._children = [Child(launch, plan.sockets[launch.listens] if launch.listens else None) for launch in plan.launches]
        self._selector = selectors.DefaultSelector()
        self._clients = Clients(self._selector, self._obey, self._lose)
        self._clients.add(owner)
        self._clients.listen()
        self._watch(guard_handle, lambda: self._lose_guard(guard_handle))
        self._signals = Signals()
        self._watch(self._signals.handle, self._signals.clear)

    def loop(self) -> None:
        """Start everything, then decide until all has ended."""
        self._write_instance()
        # Programs first: they need nothing of ours, and load while this process imports what the servers share.
        for child in self._children:
            if not child.launch.serve:
                self._spawn(child)
        for module in {module for child in self._children for module in child.launch.shares}:
            importlib.import_module(module)
        gc.freeze()
        for child in self._children:
            if child.launch.serve:
                self._spawn(child)
        while not (self._stopping_since_s is not None and all(child.pid is None for child in self._children)):
            for key, _ in self._selector.select(self._patience_s()):
                key.data()
            if self._signals.asked_to_end or not Path(RUN_CONTROL_SOCKET).exists():
                self._stop()  # without its socket nobody could end this stack any more
            self._reap()
            self._start_due()
            self._kill_overdue()
        self._clients.dismiss({"event": "end"})

    def _watch(self, source: int, react: Callable[[], object]) -> None:
        self._selector.register(source, selectors.EVENT_READ, react)

    def _patience_s(self) -> float:
        due = [child.start_again_at_s for child in self._children if child.start_again_at_s is not None]
        return max(0.0, min([SWEEP_S, *(at - time.monotonic() for at in due)]))

    # Services

    def _spawn(self, child: Child) -> None:
        if self._signals.asked_to_end or self._stopping_since_s is not None:
            return
        output = child.spawn(self._alive)
        self._watch(output, lambda: self._pump(child, child.lines()))
        self._write_instance()
        self._clients.tell({"event": "started", "service": child.name, "pid": child.pid})

    def _pump(self, child: Child, lines: Iterable[bytes]) -> None:
        output = child.output
        for line in lines:
            self._journal.write(child.name, line)
        if output is not None and child.output is None:
            self._selector.unregister(output)

    def _reap(self) -> None:
        for child in self._children:
            returncode = child.reap()
            if returncode is None:
                continue
            self._pump(child, child.drain())
            if self._stopping_since_s is not None:
                self._clients.tell({"event": "stopped", "service": child.name})
            elif child.ending_since_s is not None:
                self._clients.tell({"event": "stopped", "service": child.name})
                child.start_again_at_s = time.monotonic()
            else:
                self._take_crash(child, returncode)

    def _take_crash(self, child: Child, returncode: int) -> None:
        self._clients.tell({"event": "exited", "service": child.name, "returncode": returncode, "tail": child.last_lines()})
        if self._adopted:
            child.restarts += 1
            self._plan_restart(child, f"exited with {returncode}")
        self._write_instance()

    def _plan_restart(self, child: Child, why: str) -> None:
        child.plan_restart()
        self._journal.write(child.name, f"[sandbox] {why}; {child.state}".encode())
        if child.state == "crash-looping":
            keep_crash_log(Path(self._plan.crashes), child.name, child.last_lines())

    def _start_due(self) -> None:
        for child in self._children:
            if child.start_again_at_s is not None and time.monotonic() >= child.start_again_at_s:
                try:
                    self._spawn(child)
                except OSError as error:  # no descriptors or processes left
                    self._plan_restart(child, f"cannot be started: {error.strerror}")

    # Ending

    def _stop(self) -> None:
        if self._stopping_since_s is None:
            self._stopping_since_s = time.monotonic()
            for child in self._children:
                child.start_again_at_s = None
                child.end()

    def _kill_overdue(self) -> None:
        for child in self._children:
            since = child.ending_since_s
            if child.pid is not None and since is not None and time.monotonic() - since > STOP_TIMEOUT_S:
                child.signal(signal.SIGKILL)

    def _lose_guard(self, handle: int) -> None:
        self._selector.unregister(handle)
        self._stop()

    def _lose(self, client: Client) -> None:
        if client is self._owner:
            self._stop()

    # Talking

    def _obey(self, client: Client, message: Message) -> None:
        match message:
            case {"op": "state"}:
                client.send({"event": "state", **self._state()})
            case {"op": "adopt", "release": bool(release)}:
                self._adopted = True
                client.informed = False  # who has what it waited for need not read any more
                if release:
                    self._owner = None
                self._write_instance()
            case {"op": "stop", "kill": bool(kill)}:
                self._stop()
                if kill:
                    for child in self._children:
                        child.signal(signal.SIGKILL)
            case {"op": "restart", "services": list(names)}:
                for child in self._children:
                    if child.name in names:
                        self._restart(child)

    def _restart(self, child: Child) -> None:
        if self._stopping_since_s is not None:
            return
        child.forget_exits()
        if child.pid is None:
            child.start_again_at_s = time.monotonic()
        else:
            child.end()

    def _state(self) -> Message:
        return {
            "phase": "running" if self._adopted else "starting",
            "endpoints": asdict(self._plan.endpoints),
            "labels": dict(self._plan.labels),
            "services": [child.state_now() for child in self._children],
        }

    def _write_instance(self) -> None:
        """Leave a note for whoever finds this stack dead. Nothing in it is acted upon without asking the system.

        A full disk costs the note, not the stack.
        """
        with contextlib.suppress(PreconditionError):
            write_json(Path(RUN_INSTANCE), {"format": FORMAT, **self._state()})
