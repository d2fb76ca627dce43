import os
import pty
import signal
import sys
import termios
import time
from pathlib import Path

import pytest

from sandbox.cli.keys import Keys, parse_keys
from sandbox.cli.signals import Signals


@pytest.mark.parametrize(
    ("data", "keys"),
    [
        (b"", []),
        (b"pc", ["p", "c"]),
        (b" ", [" "]),
        (b"\r\n", ["enter", "enter"]),
        (b"\x1b", ["esc"]),
        (b"\x1b[A\x1bOB", ["up", "down"]),
        (b"\x1b[5~\x1b[6~q", ["pageup", "pagedown", "q"]),
        (b"\x1b[H\x1b[F", ["home", "end"]),
        (b"\x1b[1;5Cq", ["q"]),
        (b"\x1b[", []),
        (b"\x1b\x1b", ["esc", "esc"]),
        (b"\xff", ["\xff"]),
    ],
)
def test_what_a_terminal_sends(data, keys):
    assert parse_keys(data) == keys


@pytest.fixture
def terminal(monkeypatch):
    master, slave = pty.openpty()
    with open(slave, closefd=False) as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        monkeypatch.setattr(os, "tcgetpgrp", lambda _: os.getpgrp())
        yield master, slave
    os.close(slave)
    os.close(master)


def test_keys_are_read_without_a_return_and_the_terminal_is_as_before(terminal):
    master, slave = terminal
    before = termios.tcgetattr(slave)
    with pytest.raises(ZeroDivisionError), Keys() as keys:
        assert not termios.tcgetattr(slave)[3] & (termios.ICANON | termios.ECHO)
        assert termios.tcgetattr(slave)[3] & termios.ISIG
        os.write(master, b"p")
        assert keys.read(5.0) == ["p"]
        assert keys.read(0.0) == []
        raise ZeroDivisionError
    assert termios.tcgetattr(slave) == before


def test_an_arrow_that_comes_in_two_pieces(terminal, monkeypatch):
    master, _ = terminal
    with Keys() as keys:
        os.write(master, b"\x1b")
        read = os.read

        def read_and_send_the_rest(fd, size):
            data = read(fd, size)
            if data == b"\x1b":
                os.write(master, b"[A")
            return data

        monkeypatch.setattr(os, "read", read_and_send_the_rest)
        assert keys.read(5.0) == ["up"]


def test_in_the_background_there_are_no_keys(terminal, monkeypatch):
    _, slave = terminal
    before = termios.tcgetattr(slave)
    monkeypatch.setattr(os, "tcgetpgrp", lambda _: -1)
    with Keys() as keys:
        assert termios.tcgetattr(slave) == before
        began_s = time.monotonic()
        assert keys.read(0.05) == []
        assert time.monotonic() - began_s >= 0.05


def test_without_a_terminal_there_are_no_keys(monkeypatch):
    with Path(os.devnull).open() as stdin:
        monkeypatch.setattr(sys, "stdin", stdin)
        with Keys() as keys:
            assert keys.read(0.0) == []


def test_no_standard_input_at_all(monkeypatch):
    monkeypatch.setattr(sys, "stdin", None)
    with Keys() as keys:
        assert keys.read(0.0) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_a_fact_and_only_late_again_an_exception(number, monkeypatch):
    before = signal.getsignal(number)
    with Signals() as signals:
        os.kill(os.getpid(), number)
        os.kill(os.getpid(), number)
        assert signals.to_end
        monkeypatch.setattr("sandbox.cli.signals.PATIENCE_S", 0.0)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)
    assert signal.getsignal(number) is before


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with Signals() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
        assert not signals.to_end
    finally:
        signal.signal(signal.SIGHUP, before)


def test_ctrl_z_is_a_wish_for_a_pause():
    with Signals() as signals:
        os.kill(os.getpid(), signal.SIGTSTP)
    assert (signals.to_pause, signals.to_end) == (True, False)
