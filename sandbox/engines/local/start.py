"""The start of a local stack, and the hold that its starter has on it."""

import contextlib
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from sandbox.engines.local.cleanup import clean_up
from sandbox.engines.local.control import Channel
from sandbox.engines.local.messages import parse_event, read_messages
from sandbox.engines.local.plan import Plan, write_plan
from sandbox.engines.marks import MARK
from sandbox.errors import PreconditionError, StackError
from sandbox.events.stack import EngineEvent
from sandbox.files import make_private_folder, write_atomic
from sandbox.wait import Deadline
from sandbox.workspace import RUN_CRASHED, RUN_PLAN, State

ABORT_TIMEOUT_S = 10.0


def start_stack(state: State, plan: Plan, files: Mapping[str, bytes]) -> "LocalRun":
    """Lay out the run folder and start the guard, which starts everything else.

    Raises: PreconditionError; then nothing is left.
    """
    mine, theirs = socket.socketpair()
    try:
        _lay_out(state, plan, files)
        guard = _start_guard(state, plan, theirs.fileno())
    except BaseException as error:
        mine.close()  # a guard that did start ends with it
        clean_up(state, Deadline(ABORT_TIMEOUT_S))
        if isinstance(error, OSError):
            raise PreconditionError(f"cannot start in {state.run}: {error.strerror}", hint=f"df -h {state.root}") from error
        raise
    finally:
        theirs.close()
    return LocalRun(state, Channel(mine), guard)


def _lay_out(state: State, plan: Plan, files: Mapping[str, bytes]) -> None:
    shutil.rmtree(state.run, ignore_errors=True)
    inside = {state.run / folder for name in files for folder in Path(name).parents}
    for folder in (state.root, state.logs, state.run, *sorted(inside)):  # the outer before the inner: no mask makes one of them
        make_private_folder(folder)
    for name, content in files.items():
        write_atomic(state.run / name, content)
    write_plan(state.run / RUN_PLAN, plan)


def _start_guard(state: State, plan: Plan, owner: int) -> "subprocess.Popen[bytes]":
    write_atomic(state.supervisor_log, b"")
    with state.supervisor_log.open("wb") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "sandbox.engines.local.guard", str(state.run), str(owner)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            pass_fds=(owner, *plan.sockets.values()),
            env={**os.environ, MARK: str(state.run)},
        )


class LocalRun:
    """Implements `Run`. As long as it is not released, its end of the socket is what keeps the stack alive."""

    def __init__(self, state: State, owner: Channel, guard: "subprocess.Popen[bytes]") -> None:
        self._state = state
        self._owner = owner
        self._guard = guard

    def events(self, timeout_s: float) -> Sequence[EngineEvent]:
        """See `Run.events`."""
        messages = self._owner.wait(timeout_s)
        if self._owner.closed or any(message.get("event") == "end" for message in messages):
            raise self._ended_early(self._await_guard(ABORT_TIMEOUT_S))
        return [event for message in messages if (event := parse_event(message))]

    def adopt(self, *, release: bool) -> None:
        """See `Run.adopt`."""
        self._owner.send({"op": "adopt", "release": release})

    def abort(self) -> None:
        """See `Run.abort`."""
        deadline = Deadline(ABORT_TIMEOUT_S)
        try:
            self._owner.send({"op": "stop", "kill": False})
            for _ in read_messages(self._owner, deadline):
                pass
        finally:
            # Also on a second Ctrl-C, which ends the wait above: then nobody is asked any more.
            if not self._owner.closed:
                self._owner.send({"op": "stop", "kill": True})
            self._await_guard(deadline.remaining_s)
            clean_up(self._state, deadline)  # ends a guard that hangs, too
            self._await_guard(ABORT_TIMEOUT_S)

    def _await_guard(self, timeout_s: float) -> int | None:
        """Its return code; None when it does not end in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._guard.wait(timeout_s)
        return None

    def _ended_early(self, returncode: int | None) -> StackError:
        supervisor_crashed = (self._state.run / RUN_CRASHED).exists()
        if supervisor_crashed or returncode:
            who = "supervisor" if supervisor_crashed else "guard"
            log = self._state.supervisor_log
            last = log.read_text(encoding="utf-8", errors="replace").strip().rpartition("\n")[2]
            return StackError(f"the {who} crashed: {last or 'it was killed'}", hint=f"cat {log}; sandbox up")
        return StackError("the stack was stopped while it started", hint="sandbox up")
