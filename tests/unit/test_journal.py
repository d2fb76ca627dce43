import contextlib
import itertools
import json

import pytest

from sandbox.engines import journal
from sandbox.engines.journal import JournalWriter, read_journal
from sandbox.events import LogRecord


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
