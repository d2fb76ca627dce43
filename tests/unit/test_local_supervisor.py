"""The supervisor as a process of its own, with small programs for services."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from stacks import until

from sandbox.engines.local.control import Channel, connect
from sandbox.engines.local.messages import read_messages
from sandbox.engines.local.plan import Plan, write_plan
from sandbox.stack import Endpoints, Launch
from sandbox.wait import Deadline

SUPERVISOR = """
import os, sys
from pathlib import Path
from sandbox.engines.local.process import supervise

run, owner, guard = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
sys.exit(supervise(run, owner_handle=owner, guard_handle=guard, alive_handle=os.open(os.devnull, os.O_RDONLY)))
"""

SLEEPER = Launch(name="sleeper", argv=("/bin/sleep", "600"))


class Supervised:
    """A supervisor, its owner's end of the socket and its guard's end of the pipe."""

    def __init__(self, folder, launches):
        self.run, self.logs = folder / "run", folder / "logs"
        for path in (self.run, self.logs):
            path.mkdir()
        plan = Plan(
            services_root=str(folder),
            logs=str(self.logs),
            crashes=str(folder / "crashes"),
            endpoints=Endpoints(inside={}, host={}),
            launches=launches,
            sockets={},
            labels={},
        )
        write_plan(self.run / "plan.json", plan)
        mine, theirs = socket.socketpair()
        watched, self.held = os.pipe()
        with (folder / "stderr").open("wb") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, "-c", SUPERVISOR, str(self.run), str(theirs.fileno()), str(watched)],
                pass_fds=(theirs.fileno(), watched),
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": str(folder)},
            )
        theirs.close()
        os.close(watched)
        self.owner = Channel(mine)

    def connect(self):
        return until(lambda: connect(self.run), what="the supervisor's socket")

    def ask(self, **message):
        """The state after a message."""
        with contextlib.closing(self.connect()) as channel:
            channel.send(message)
            channel.send({"op": "state"})
            return next(item for item in read_messages(channel, Deadline(5.0)) if item["event"] == "state")

    def service(self, number=0):
        return self.ask(op="state")["services"][number]

    def log(self):
        path = self.logs / "stack.log"
        text = path.read_text() if path.exists() else ""
        return [json.loads(line)[2] for line in text[: text.rfind("\n") + 1].splitlines()]  # the last one is being written

    def close(self):
        children = []
        if self.process.poll() is None:
            children = psutil.Process(self.process.pid).children(recursive=True)
            self.process.kill()
        self.process.wait()
        for child in children:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
        self.owner.close()
        os.close(self.held)


@pytest.fixture
def supervise(short):
    with contextlib.ExitStack() as stack:
        yield lambda *launches: stack.enter_context(contextlib.closing(Supervised(short, launches)))


def adopted(supervised, *, release):
    supervised.owner.send({"op": "adopt", "release": release})
    until(lambda: supervised.ask(op="state")["phase"] == "running")
    return supervised


SLOW = """
import pathlib, time
pathlib.Path(__file__).with_name("importing").touch()
time.sleep(1)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_while_it_starts_ends_it_and_starts_nothing_more(supervise, short, number):
    (short / "slow_shared.py").write_text(SLOW)
    supervised = supervise(SLEEPER, Launch(name="late", serve="late:serve", shares=("slow_shared",)))
    until((short / "importing").exists)
    supervised.process.send_signal(number)
    assert supervised.process.wait(30) == 0
    messages = []
    while not supervised.owner.closed:
        messages += supervised.owner.wait(1.0)
    assert [(item["event"], item.get("service")) for item in messages] == [
        ("started", "sleeper"),
        ("stopped", "sleeper"),
        ("end", None),
    ]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell")
def test_a_service_starts_with_all_signals_as_they_were(supervise):
    ask = "grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status; exec sleep 600"
    supervised = supervise(Launch(name="s", argv=("/bin/sh", "-c", ask)))
    until(lambda: len(supervised.log()) == 3)
    taken = sum(1 << (number - 1) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD))
    assert [int(line.split()[1], 16) & taken for line in supervised.log()] == [0, 0, 0]


def test_who_speaks_another_language_is_hung_up_on_and_nobody_else(supervise):
    supervised = supervise(SLEEPER)
    for line in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b'{"op": "restart", "services": [[]]}\n{"op": 7}\n"end"\n'):
        with contextlib.closing(supervised.connect()) as channel:
            channel.connection.sendall(line)
            until(lambda channel=channel: channel.closed or channel.wait(1.0) or channel.closed)
    assert supervised.service()["state"] == "running"
    assert supervised.process.poll() is None


def test_an_owner_that_stays_is_told_nothing_more_but_its_end_ends_all(supervise):
    supervised = supervise(SLEEPER)
    assert supervised.owner.wait(5.0)[0]["event"] == "started"
    adopted(supervised, release=False)
    with contextlib.closing(supervised.connect()) as other:
        other.send({"op": "restart", "services": ["sleeper"]})
        events = []
        while "started" not in events:
            events += [message["event"] for message in other.wait(5.0)]
    assert events == ["stopped", "started"]
    assert supervised.owner.wait(0.0) == []
    supervised.owner.close()
    assert supervised.process.wait(30) == 0


def test_a_client_that_does_not_read_stops_nothing(supervise):
    """One exit has last words for which no socket has room."""
    words = "for i in 1 2 3 4; do head -c 16000 /dev/zero | tr '\\0' '\\377'; echo; done; exec sleep 600"
    supervised = adopted(supervise(Launch(name="loud", argv=("/bin/sh", "-c", words))), release=True)
    with contextlib.closing(supervised.connect()) as silent:
        until(lambda: len(supervised.log()) == 4)
        os.kill(supervised.service()["pid"], signal.SIGKILL)
        until(lambda: (item := supervised.service())["state"] == "running" and item["restarts"] == 1)
        events = []
        while "started" not in events:
            events += [message["event"] for message in silent.wait(5.0)]
    assert events == ["exited", "started"]


def test_a_restart_of_what_was_given_up_gives_it_all_its_tries(supervise):
    supervised = adopted(supervise(SLEEPER, Launch(name="fails", argv=("/bin/sh", "-c", "exit 3"))), release=True)
    supervised.ask(op="restart", services=["fails"])
    until(lambda: supervised.service(1)["state"] == "crash-looping")
    before = supervised.service(1)["restarts"]
    supervised.ask(op="restart", services=["fails"])
    until(lambda: supervised.service(1)["restarts"] >= before + 2, what="a second try")
    assert sum(line == "[sandbox] exited with 3; crash-looping" for line in supervised.log()) <= 2


@pytest.mark.skipif(not hasattr(psutil.Process, "rlimit"), reason="the limits of another process cannot be set here")
def test_a_start_that_the_system_refuses_is_tried_again(supervise):
    supervised = adopted(supervise(SLEEPER), release=True)
    process = psutil.Process(supervised.process.pid)
    before = process.rlimit(psutil.RLIMIT_NOFILE)
    with contextlib.closing(supervised.connect()) as channel:
        process.rlimit(psutil.RLIMIT_NOFILE, (3, before[1]))
        process.children()[0].kill()
        refused = "[sandbox] cannot be started: Too many open files; restarting"
        until(lambda: refused in supervised.log(), what="the line in the log")
        process.rlimit(psutil.RLIMIT_NOFILE, before)
        events = []
        while "started" not in events:
            events += [message["event"] for message in channel.wait(5.0)]
    assert supervised.service()["state"] == "running"
