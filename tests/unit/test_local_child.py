"""One service: its lines, its last words and its exits."""

import contextlib
import os
import select
import subprocess
from pathlib import Path

import pytest

from sandbox.engines.local.child import CRASH_LOOP_EXITS, MAX_LINE_BYTES, TAIL_LINES, Child
from sandbox.stack import Launch


@pytest.fixture
def child():
    return Child(Launch(name="s", argv=("/bin/true",)), None)


@pytest.fixture
def write_end(child):
    child.output, write_end = os.pipe()
    os.set_blocking(child.output, False)
    yield write_end
    for handle in (child.output, write_end):
        with contextlib.suppress(OSError, TypeError):
            os.close(handle)


def test_a_long_line_is_cut_once_for_all_who_get_it(child, write_end):
    writer = subprocess.Popen(["sh", "-c", "head -c 1000000 /dev/zero | tr '\\0' x; echo"], stdout=write_end)
    os.close(write_end)
    got = []
    while child.output is not None:
        got += child.lines()
    writer.wait()
    [line] = got
    assert len(line) < MAX_LINE_BYTES + 40
    assert line.endswith(" … 983616 bytes cut".encode())
    assert list(child.tail) == [line]


def test_a_grandchild_that_writes_without_end_keeps_nobody_waiting(child, write_end):
    chatter = subprocess.Popen(["yes"], stdout=write_end)
    os.close(write_end)
    assert select.select([child.output], [], [], 10)[0]
    assert sum(1 for _ in child.drain()) <= 17 * (1 << 16)
    assert child.output is None
    assert len(child.tail) == TAIL_LINES
    assert chatter.wait(10) != 0  # it writes to nobody now


def test_the_last_words_of_the_dead_are_whole_and_are_not_given_to_the_next(child, write_end):
    os.write(write_end, b"one\nhalf")  # and a grandchild holds the pipe
    assert list(child.drain()) == [b"one", b"half"]
    assert child.output is None
    child.output, other_end = os.pipe()
    os.write(other_end, b"new\n")
    os.close(other_end)
    assert list(child.drain()) == [b"new"]


def test_who_is_wanted_again_after_a_crash_loop_has_all_its_tries(child):
    for _ in range(CRASH_LOOP_EXITS):
        child.plan_restart()
    assert (child.state, child.start_again_at_s) == ("crash-looping", None)
    child.forget_exits()
    child.plan_restart()
    assert child.state == "restarting"
    assert child.start_again_at_s is not None


def test_a_start_that_the_system_refuses_leaves_no_descriptors(child, monkeypatch):
    def refuse():
        raise BlockingIOError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(os, "fork", refuse)
    before = sorted(map(str, Path("/dev/fd").iterdir()))
    with pytest.raises(BlockingIOError):
        child.spawn(keep=2)
    assert sorted(map(str, Path("/dev/fd").iterdir())) == before
    assert (child.pid, child.output, child.state) == (None, None, "exited")


def test_a_program_that_cannot_be_run_says_so_in_a_line(tmp_path):
    child = Child(Launch(name="s", argv=(str(tmp_path / "envoy"),)), None)
    with (tmp_path / "lock").open("w") as lock:
        output = child.spawn(lock.fileno())
    assert os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert child.reap() == 126
    assert list(child.drain()) == [f"cannot run {tmp_path / 'envoy'}: No such file or directory".encode()]
    assert child.output is None
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(output)
