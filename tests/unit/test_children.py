"""A child that an interrupt comes in between of: at the moment when it runs, and nobody has its name yet."""

import os
import signal
import subprocess
import sys
import threading

import psutil
import pytest
from stacks import until

from sandbox.children import start_child
from sandbox.engines.docker.compose.command import Compose

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(params=SIGNALS, ids=lambda number: number.name)
def interrupt(request, monkeypatch):
    """A signal that raises KeyboardInterrupt, and comes as soon as a program says something, or ends."""
    handler = signal.signal(request.param, signal.default_int_handler)

    class Interrupted(subprocess.Popen):
        def __init__(self, *words, **options):
            super().__init__(*words, **options)
            self.stdout.read(1)
            signal.raise_signal(request.param)

    monkeypatch.setattr(subprocess, "Popen", Interrupted)
    yield request.param
    signal.signal(request.param, handler)


def start(*command):
    return start_child(command, folder=None, environment=os.environ)


@pytest.fixture
def marked(tmp_path):
    """The environment of a program, and the processes that have it."""
    mark = ("MARKED_BY", str(tmp_path))

    def find():
        return [process for process in psutil.process_iter(["environ"]) if mark in (process.info["environ"] or {}).items()]

    return dict([*os.environ.items(), mark]), find


SLEEPERS = ("sh", "-c", "sleep 1000 & echo; wait")


def test_an_interrupt_while_it_starts_ends_it_whole(interrupt, marked):
    environment, find = marked
    with pytest.raises(KeyboardInterrupt):
        start_child(SLEEPERS, folder=None, environment=environment)
    until(lambda: not find())


@pytest.mark.parametrize(
    ("ending", "code"), [("pass", 0), ("raise KeyboardInterrupt", -signal.SIGINT), ("raise SystemExit(3)", 3)]
)
def test_one_that_nobody_ended_ends_with_us(ending, code, marked):
    environment, find = marked
    program = f"import os\nfrom sandbox.children import start_child\nstart_child({SLEEPERS}, folder=None, environment=os.environ)"
    ended = f"start_child(['true'], folder=None, environment=os.environ).wait()\n{ending}"
    words = [sys.executable, "-c", f"{program}.stdout.read(1)\n{ended}"]
    assert subprocess.run(words, env=environment, check=False, stderr=subprocess.DEVNULL).returncode == code
    until(lambda: not find())


def test_an_interrupt_while_compose_gets_its_reader_ends_it_whole(monkeypatch, marked, tmp_path):
    """A thread takes its time to start; on a busy machine a Ctrl-C fits in."""

    def interrupted(_):
        raise KeyboardInterrupt

    environment, find = marked
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nsleep 1000 & wait\n")
    docker.chmod(0o755)
    path = f"{tmp_path}:{environment['PATH']}"
    compose = Compose(name="any", file=tmp_path / "compose.yaml", mark=tmp_path, environment={**environment, "PATH": path})
    monkeypatch.setenv("PATH", path)
    monkeypatch.setattr(threading.Thread, "start", interrupted)
    with pytest.raises(KeyboardInterrupt):
        compose.start("build", variables={})
    until(lambda: not find())


def test_interrupts_are_as_they_were(interrupt):
    with pytest.raises(KeyboardInterrupt):
        start("true")
    assert signal.getsignal(interrupt) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(interrupt)


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_that_is_ignored_stays_so(number):
    handler = signal.signal(number, signal.SIG_IGN)
    try:
        with start("sh", "-c", f"kill -{number.value} $$; echo deaf") as child:
            assert child.stdout.read() == b"deaf\n"
    finally:
        signal.signal(number, handler)


def test_there_is_no_such_program():
    with pytest.raises(FileNotFoundError):
        start("no-such-program")


def test_in_another_thread():
    said = []

    def run():
        with start("echo", "there") as child:
            said.append(child.stdout.read())

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert said == [b"there\n"]
