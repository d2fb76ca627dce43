"""The hold that a starter has on its stack: what it says of a guard that failed, and the end of one that hangs."""

import fcntl
import os
import socket
import subprocess
import sys

import pytest

from sandbox.engines.local import start
from sandbox.engines.local.control import Channel
from sandbox.engines.local.start import LocalRun
from sandbox.engines.marks import MARK
from sandbox.errors import StackError
from sandbox.workspace import State


@pytest.fixture
def state(short):
    state = State(root=short)
    for folder in (state.run, state.logs):
        folder.mkdir()
    state.supervisor_log.write_text("")
    return state


@pytest.fixture
def run_of(state):
    """A run whose guard is another program."""
    started = []

    def make(program, *, marked=False):
        mine, theirs = socket.socketpair()
        alive = os.open(state.alive, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(alive, fcntl.LOCK_EX)
        environment = {**os.environ, **({MARK: str(state.run)} if marked else {})}
        with state.supervisor_log.open("wb") as log:
            guard = subprocess.Popen(
                [sys.executable, "-c", program], pass_fds=(theirs.fileno(), alive), env=environment, stderr=log
            )
        theirs.close()
        os.close(alive)
        started.append((guard, mine))
        return LocalRun(state, Channel(mine), guard), guard

    yield make
    for guard, mine in started:
        guard.kill()
        guard.wait()
        mine.close()


def ending(run):
    with pytest.raises(StackError) as raised:
        for _ in range(10):
            run.events(5.0)
    return str(raised.value)


def test_a_guard_that_fails_says_why(run_of):
    run, _ = run_of("raise OSError(28, 'No space left on device')")
    assert ending(run) == "the guard crashed: OSError: [Errno 28] No space left on device"


def test_a_guard_that_is_killed_is_not_called_stopped(run_of):
    run, guard = run_of("import time; time.sleep(600)")
    guard.kill()
    assert ending(run) == "the guard crashed: it was killed"


def test_a_supervisor_that_fails_says_why(run_of, state):
    (state.run / "crashed.json").write_text("{}")
    run, _ = run_of("import sys; sys.stderr.write('Traceback:\\n  line\\nValueError: no\\n')")
    assert ending(run) == "the supervisor crashed: ValueError: no"


def test_a_stack_that_somebody_ended_was_stopped(run_of):
    run, _ = run_of("")
    assert ending(run) == "the stack was stopped while it started"


def test_a_guard_that_hangs_is_ended_with_the_rest(run_of, state, monkeypatch):
    monkeypatch.setattr(start, "ABORT_TIMEOUT_S", 0.5)
    run, guard = run_of("import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)", marked=True)
    run.abort()
    assert guard.returncode == -9
    assert not state.run.exists()
