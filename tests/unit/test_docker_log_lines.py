"""Docker's log streams as bytes and as times: whatever they are cut into and whenever they are asked for again."""

import itertools
import math
import struct
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.engines.docker.logs.lines import MAX_LINE_BYTES, OVERLAP_NS, Line, LineReader, Position
from sandbox.engines.docker.logs.order import MAX_HELD, MAX_HELD_CHARS, PATIENCE_NS, SILENCE_NS, Pace, Sorter
from sandbox.events.stack import LogRecord

PART = 16 * 1024
START_NS = 1_795_391_405_000_000_000

TEXTS = st.one_of(
    st.binary(max_size=40).map(lambda text: text.replace(b"\n", b"")),
    st.sampled_from([PART - 1, PART, PART + 1, 2 * PART, 3 * PART]).map(lambda size: b"\xc3" * size),
)


def frame(output: int, ns: int, text: bytes) -> bytes:
    """A message as Docker sends it."""
    seconds, rest = divmod(ns, 1_000_000_000)
    message = datetime.fromtimestamp(seconds, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{rest:09}Z ").encode() + text
    return struct.pack(">BxxxL", output, len(message)) + message


def frames(line: Line, *, ended: bool = True) -> list[bytes]:
    """A line as Docker cuts it: parts of the same time, of which the last ends with a line feed."""
    text = line.text + (b"\n" if ended else b"")
    return [frame(line.output, line.ns, text[at : at + PART]) for at in range(0, len(text), PART)]


def cut(line: Line) -> Line:
    """What is kept of a line."""
    more = len(line.text) - MAX_LINE_BYTES
    return line if more <= 0 else Line(line.ns, line.output, line.text[:MAX_LINE_BYTES] + f" … {more} bytes cut".encode())


@st.composite
def outputs(draw):
    """What a container writes: two outputs, each with times that do not go back, and the order in which the log has them."""
    written = []
    for output in (1, 2):
        steps = draw(st.lists(st.tuples(st.sampled_from([0, 0, 1, 1000]), TEXTS), max_size=8))
        times = itertools.accumulate((step for step, _ in steps), initial=START_NS)
        written.append([Line(ns, output, text) for ns, (_, text) in zip(itertools.islice(times, 1, None), steps, strict=True)])
    return written


def interleave(draw, queues):
    """One after another, each queue in its own order."""
    queues = [list(queue) for queue in queues if queue]
    while queues:
        queue = draw(st.sampled_from(queues))
        yield queue.pop(0)
        queues = [queue for queue in queues if queue]


@given(st.data())
def test_lines_come_back_whole_however_they_are_cut(data):
    # Parts of one time are one line: lines of one output that have the same time are short, as Docker's are.
    written = [[replace(line, ns=line.ns + number) for number, line in enumerate(lines)] for lines in data.draw(outputs())]
    sent = b"".join(interleave(data.draw, [[part for line in lines for part in frames(line)] for lines in written]))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(sent)), max_size=20)))
    reader = LineReader()
    found = [line for start, end in itertools.pairwise([0, *cuts, len(sent)]) for line in reader.feed(sent[start:end])]
    for output, lines in enumerate(written, start=1):
        assert [line for line in found if line.output == output] == [cut(line) for line in lines]
    assert list(reader.finish()) == []
    assert reader.open_since_ns is None


def test_lines_that_come_byte_by_byte():
    lines = [Line(START_NS, 1, b"one"), Line(START_NS, 2, b""), Line(START_NS + 1, 1, b"\xffthree")]
    sent = b"".join(part for line in lines for part in frames(line))
    reader = LineReader()
    assert [line for byte in sent for line in reader.feed(bytes([byte]))] == lines


def test_a_line_without_an_end_ends_with_its_writer():
    reader = LineReader()
    first, second = Line(START_NS, 1, b"unfinished"), Line(START_NS + 5, 1, b"of the next run")
    assert list(reader.feed(b"".join(frames(first, ended=False)))) == []
    assert reader.open_since_ns == START_NS
    assert list(reader.feed(b"".join(frames(second)))) == [first, second]
    assert list(reader.feed(b"".join(frames(first, ended=False)))) == []
    assert list(reader.finish()) == [first]


def test_a_long_line_is_cut_and_its_memory_bounded():
    reader = LineReader()
    for number in range(64):
        assert list(reader.feed(frame(1, START_NS, b"x" * PART + b"\n" * (number == 64)))) == []
        assert len(reader._open[1].text) <= MAX_LINE_BYTES
        assert len(reader._rest) < 100
    [line] = reader.feed(frame(1, START_NS, b"\n"))
    assert line.text == b"x" * MAX_LINE_BYTES + f" … {63 * PART} bytes cut".encode()


def test_a_message_longer_than_any_of_dockers_is_not_collected():
    reader, message = LineReader(), frame(1, START_NS, b"x" * (1 << 20) + b"\n")
    found = [line for at in range(0, len(message), 1000) for line in reader.feed(message[at : at + 1000])]
    assert [len(line.text) for line in found] == [MAX_LINE_BYTES + len(f" … {(1 << 20) - MAX_LINE_BYTES} bytes cut".encode())]


@pytest.mark.parametrize(
    ("stamp", "ns"),
    [
        (b"2026-11-22T20:15:01.000000001Z ", 1_795_378_501_000_000_001),
        (b"2026-11-22T20:15:01Z ", 1_795_378_501_000_000_000),
        (b"2026-11-22T21:15:01.5+01:00 ", 1_795_378_501_500_000_000),
        (b"2026-11-22T20:15:01.1234567891Z ", 1_795_378_501_123_456_789),
    ],
)
def test_times_as_other_engines_write_them(stamp, ns):
    message = stamp + b"text\n"
    assert list(LineReader().feed(struct.pack(">BxxxL", 1, len(message)) + message)) == [Line(ns, 1, b"text")]


@pytest.mark.parametrize("message", [b"\n", b"text\n", b"2026-99-99T20:15:01.000000001Z \n", b"2026-11-22T20:15 text\n"])
def test_what_has_no_time_is_passed_on(message):
    [first, second] = LineReader().feed(frame(1, START_NS, b"a\n") + struct.pack(">BxxxL", 1, len(message)) + message)
    assert first == Line(START_NS, 1, b"a")
    assert second.text in (message[:-1], b"")


@given(st.binary(max_size=500))
def test_any_bytes_at_all(data):
    reader = LineReader()
    list(reader.feed(data))
    list(reader.finish())


def answer(log, since_ns, *, at_each):
    """What an engine gives: of each message its time is looked at, or (newer ones) only until one is new enough."""
    if at_each:
        return [line for line in log if line.ns >= since_ns]
    return list(itertools.dropwhile(lambda line: line.ns < since_ns, log))


@given(st.data(), st.booleans())
def test_asking_again_neither_doubles_nor_skips(data, at_each):
    """Lines of one time, of two outputs that are out of step: what was read, and then the rest."""
    log = list(interleave(data.draw, data.draw(outputs())))
    position, found = Position(), []
    for _ in range(data.draw(st.integers(1, 4))):
        is_new = position.novelty()
        given_now = answer(log, position.since_ns, at_each=at_each)
        news = [line for line in given_now if is_new(line)]
        for line in news[: data.draw(st.integers(0, len(news)))]:
            position.add(line)
            found.append(line)
    is_new = position.novelty()
    found += [line for line in answer(log, position.since_ns, at_each=at_each) if is_new(line)]
    assert found == log


def test_a_position_asks_from_where_a_line_began():
    position = Position(START_NS - 20 * OVERLAP_NS)
    position.add(Line(START_NS, 2, b""))
    assert position.since_ns == START_NS - OVERLAP_NS
    position.leave(START_NS - 10 * OVERLAP_NS)
    assert position.since_ns == START_NS - 10 * OVERLAP_NS
    position.leave(None)
    assert position.since_ns == START_NS - OVERLAP_NS
    assert Position(START_NS).since_ns == START_NS
    assert Position().since_ns == 0


def test_what_was_before_the_end_that_was_asked_for_counts_as_read():
    position = Position()
    position.add(Line(START_NS, 1, b""))
    position.forget_before()
    is_new = position.novelty()
    assert [is_new(Line(START_NS + step, output, b"")) for output, step in ((2, -1), (1, 0), (2, 0), (1, 1))] == [
        False,
        False,
        True,
        True,
    ]


def test_a_clock_that_is_set_back_hides_no_line():
    position = Position()
    position.add(Line(START_NS, 1, b""))
    is_new = position.novelty()
    assert [is_new(Line(START_NS + step, 1, b"")) for step in (0, 1, -3600 * 10**9)] == [False, True, True]


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, PATIENCE_NS)), max_size=50))
def test_lines_that_are_late_by_less_than_the_patience_come_in_order(steps):
    """Each line comes some time after it was written; the clock is that of the machine."""
    written = list(itertools.accumulate(step * PATIENCE_NS // 10 for step, _ in steps))
    arrivals = sorted((ns + delay, ns, number) for number, (ns, (_, delay)) in enumerate(zip(written, steps, strict=True)))
    sorter, found = Sorter(), []
    for at_ns, ns, number in arrivals:
        found += sorter.due(at_ns, math.inf)
        sorter.add(ns, LogRecord(time_s=float(ns), service="s", line=str(number)), at_ns)
    found += sorter.rest()
    assert [ns for ns, _ in found] == sorted(written)
    assert sorted(int(record.line) for _, record in found) == list(range(len(steps)))
    assert sorter.wait_ns(0, math.inf) is None


@pytest.mark.parametrize(("line", "most"), [("", MAX_HELD), ("x" * 10_000, MAX_HELD_CHARS // 10_000)])
def test_what_is_held_is_bounded_and_nothing_waits_for_ever(line, most):
    sorter, record = Sorter(), LogRecord(time_s=0.0, service="s", line=line)
    for ns in range(2 * most):
        sorter.add(ns, record, 0)
        gone = list(itertools.chain(sorter.due(0, math.inf), sorter.before(0)))
        assert [ns for ns, _ in gone] == ([ns - most] if ns >= most else [])
    assert sorter.wait_ns(10, math.inf) == PATIENCE_NS - 10
    assert sorter.wait_ns(10, most - 1) is None
    assert list(sorter.due(PATIENCE_NS, most - 1)) == []
    assert len(list(sorter.due(PATIENCE_NS, 2 * most))) == most


def test_lines_of_one_time_stay_as_they_came():
    sorter = Sorter()
    for number in range(20):
        sorter.add(5, LogRecord(time_s=5.0, service="s", line=str(number)), 0)
    assert [record.line for _, record in sorter.rest()] == [str(number) for number in range(20)]


def test_the_others_wait_for_a_container_that_is_behind_as_long_as_more_comes():
    pace = Pace()
    pace.came("quick", 10 * PATIENCE_NS, 0)
    assert pace.reached_ns(0, ()) == math.inf
    assert pace.wait_ns(0) is None
    pace.came("slow", PATIENCE_NS, 5)
    assert pace.reached_ns(6, ()) == PATIENCE_NS
    assert pace.wait_ns(6) == SILENCE_NS - 1
    assert pace.reached_ns(5 + SILENCE_NS, ()) == math.inf
    pace.came("slow", 9 * PATIENCE_NS, 10)
    assert pace.reached_ns(11, ()) == math.inf
    pace.came("slow", PATIENCE_NS, 20)
    pace.gone("slow")
    assert pace.reached_ns(21, ()) == math.inf


def test_containers_that_have_more_go_on_together():
    pace = Pace()
    for container, newest_ns in (("a", 5 * PATIENCE_NS), ("b", 7 * PATIENCE_NS), ("c", 6 * PATIENCE_NS)):
        pace.came(container, newest_ns, 0)
    assert pace.furthest_behind(["a", "b", "c"]) == ["a", "c"]
    assert pace.furthest_behind(["b", "new"]) == ["new"]
    assert pace.furthest_behind([]) == []
    assert pace.reached_ns(SILENCE_NS, ["b", "c"]) == 6 * PATIENCE_NS
    assert pace.reached_ns(SILENCE_NS, ["new"]) == math.inf
