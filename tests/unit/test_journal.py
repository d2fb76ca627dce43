import contextlib
import itertools
import json

import pytest

from sandbox.engines import journal
from sandbox.engines.journal import JournalWriter, read_journal
from sandbox.events.stack import LogRecord


@pytest.fixture
def writer(tmp_path):
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        yield writer


def lines(folder, *, matching=lambda _: True, tail=None, while_=None):
    return [record.line for record in read_journal(folder, wanted=matching, tail=tail, while_=while_)]


def test_lines_come_back_in_order(writer, tmp_path):
    for number in range(5):
        writer.write("ab"[number % 2], str(number).encode())
    assert lines(tmp_path) == list("01234")
    assert lines(tmp_path, tail=2) == ["3", "4"]
    assert lines(tmp_path, tail=0) == []
    assert lines(tmp_path, matching=lambda record: record.service == "a") == ["0", "2", "4"]
    assert lines(tmp_path, matching=lambda record: record.service == "a", tail=1) == ["4"]


def test_since_leaves_out_what_was_before(writer, tmp_path, monkeypatch):
    clock = itertools.count(100.0)
    monkeypatch.setattr(journal.time, "time", lambda: next(clock))
    for text in "abc":
        writer.write("s", text.encode())
    assert lines(tmp_path, matching=lambda record: record.time_s >= 101.0) == ["b", "c"]


def test_files_stay_bounded_and_private(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MAX_FILE_BYTES", 1000)
    for number in range(500):
        writer.write("s", f"{number:04}".encode())
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert set(sizes) == {"stack.log", "stack.previous.log"}
    assert max(sizes.values()) <= 1000
    assert {oct(path.stat().st_mode & 0o777) for path in tmp_path.iterdir()} == {"0o600"}
    kept = lines(tmp_path)
    assert kept == [f"{number:04}" for number in range(500 - len(kept), 500)]


def test_bytes_that_are_no_text(writer, tmp_path):
    writer.write("s", b"a\xff\x1b")
    assert lines(tmp_path) == ["a\ufffd\x1b"]


@pytest.mark.parametrize("garbage", [b"{", b"[1]\n", b"nonsense\n", b'["x", "s", "t"]\n', b"\xff\n"])
def test_a_line_that_is_not_whole_is_passed_over(writer, tmp_path, garbage):
    writer.write("s", b"before")
    with (tmp_path / "stack.log").open("ab") as file:
        file.write(garbage)
    if garbage.endswith(b"\n"):
        writer.write("s", b"after")
        assert lines(tmp_path) == ["before", "after"]
    else:
        assert lines(tmp_path) == ["before"]


def test_following_goes_on_over_a_new_file_and_ends_with_the_stack(writer, tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "MAX_FILE_BYTES", 200)
    writer.write("s", b"0")
    written = iter(range(1, 50))

    def still_running():
        number = next(written, None)
        if number is not None:
            writer.write("s", str(number).encode())
        return number is not None

    assert lines(tmp_path, while_=still_running) == [str(number) for number in range(50)]


def test_no_log_is_no_lines(tmp_path):
    assert lines(tmp_path) == []


def test_the_record_is_one_json_array_a_line(writer, tmp_path):
    writer.write("s", b"a\tb")
    [record] = (tmp_path / "stack.log").read_text().splitlines()
    assert json.loads(record)[1:] == ["s", "a\tb"]


def test_a_record_keeps_its_own_time(writer, tmp_path):
    records = [LogRecord(time_s=5.25, service="a", line="x"), LogRecord(time_s=3.000001, service="b", line="\ufffd\x1b[31m")]
    for record in records:
        writer.append(record)
    assert list(read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None)) == records


@pytest.mark.parametrize("step_bytes", [1, 40, 1000, 1 << 20])
def test_what_is_too_old_is_passed_over(tmp_path, monkeypatch, step_bytes):
    monkeypatch.setattr(journal, "STEP_BYTES", step_bytes)
    monkeypatch.setattr(journal, "MAX_FILE_BYTES", 600)
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        for number in range(30):
            writer.append(LogRecord(time_s=1000.0 + number // 2, service="s", line=f"{number}" + "x" * (number % 7)))
    assert (tmp_path / "stack.previous.log").exists()
    kept = list(read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None))
    for since_s in (0.0, *(999.0 + half / 2 for half in range(35))):

        def is_timely(record, since_s=since_s):
            return record.time_s >= since_s

        read = read_journal(tmp_path, wanted=is_timely, tail=None, while_=None, since_s=since_s)
        assert list(read) == list(filter(is_timely, kept))


def test_what_is_too_old_is_not_read(writer, tmp_path, monkeypatch):
    clock = itertools.count(100.0)
    monkeypatch.setattr(journal.time, "time", lambda: next(clock))
    monkeypatch.setattr(journal, "STEP_BYTES", 100)
    for number in range(1000):
        writer.write("s", f"{number}".encode())
    seen = list(read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None, since_s=1095.0))
    assert seen[-1].line == "999"
    assert 5 <= len(seen) < 20


def test_a_clock_that_was_set_back_hides_nothing_that_was_written_since(tmp_path, monkeypatch):
    monkeypatch.setattr(journal, "STEP_BYTES", 10)
    with contextlib.closing(JournalWriter(tmp_path)) as writer:
        for time_s in (200.0, 201.0, 100.0, 101.0, 102.0):
            writer.append(LogRecord(time_s=time_s, service="s", line=f"{time_s:g}"))
    read = read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None, since_s=101.0)
    assert [record.line for record in read] == ["100", "101", "102"]


def test_only_lines_with_a_text_are_read(writer, tmp_path):
    for line in ('{"a":"é"}', "plain", "\x1b[1m"):
        writer.write("s", line.encode())

    def read(*texts):
        return [record.line for record in read_journal(tmp_path, wanted=lambda _: True, tail=None, while_=None, containing=texts)]

    assert read('"a":"é"', "none") == ['{"a":"é"}']
    assert read("lai", "\x1b") == ["plain", "\x1b[1m"]
    assert read("none") == []
    assert len(read()) == 3
