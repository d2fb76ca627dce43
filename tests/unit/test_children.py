"""A child that an interrupt comes in between of: at the moment when it runs, and nobody has its name yet."""

import os
import signal
import subprocess
import threading

import psutil
import pytest
from stacks import until

from sandbox.children import start_child

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


def test_an_interrupt_while_it_starts_ends_it_whole(interrupt, tmp_path):
    def marked():
        return [process.pid for process in psutil.process_iter(["environ"]) if mark in (process.info["environ"] or {}).items()]

    mark = ("MARKED_BY", str(tmp_path))
    with pytest.raises(KeyboardInterrupt):
        start_child(["sh", "-c", "sleep 1000 & echo; wait"], folder=None, environment=dict([*os.environ.items(), mark]))
    until(lambda: not marked())


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
