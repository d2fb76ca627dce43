"""Crashes of the filter as a real Envoy logged them (tests/fixtures/logs), put together."""

import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sandbox.observe.envoy_log import parse_envoy_line, refusal
from sandbox.observe.log_line import LogLine
from sandbox.observe.panic import (
    MAX_LINES,
    MAX_THREADS,
    PATIENCE_S,
    Block,
    Frame,
    PanicAssembler,
    assemble,
    can_be_of_panic,
    parse_panic,
)

RECORDED = Path(__file__).parent.parent / "fixtures" / "logs" / "envoy-1.40.0"
SDK = "github.com/proxy-wasm/proxy-wasm-go-sdk/proxywasm/internal."
UNREACHABLE = "RuntimeError: unreachable"


def recorded(name):
    return [parse_envoy_line(line) for line in (RECORDED / name).read_text(encoding="utf-8").splitlines()]


def crashes(entries):
    return [entry.panic for entry in entries if isinstance(entry, Block)]


def own(panic):
    return [frame.place for frame in panic.frames if not frame.of_runtime]


def test_panics_of_go():
    assert [(panic.title, own(panic)) for panic in crashes(assemble(recorded("go.log")))] == [
        ("panic: no user in the session", ["panicky/main.go:59"]),
        ("panic: first line\n\tsecond line\n\t\tindented: /not/a/file.go:12", ["panicky/main.go:61"]),
        ("panic: ", ["panicky/main.go:63"]),
        ("panic: token: malformed claim", ["panicky/main.go:65"]),
        ("panic: (main.account) 0x307c8", ["panicky/main.go:67"]),
        ("panic: assignment to entry in nil map", ["panicky/main.go:43", "panicky/main.go:69"]),
        ("panic: runtime error: index out of range [6] with length 2", ["panicky/main.go:42", "panicky/main.go:71"]),
        (
            "panic: runtime error: invalid memory address or nil pointer dereference",
            ["panicky/main.go:44", "panicky/main.go:73"],
        ),
        ("panic: the first [recovered]\n\tpanic: while cleaning up", ["panicky/main.go:77", "panicky/main.go:80"]),
        ("panic: the first\n\tpanic: assignment to entry in nil map", ["panicky/main.go:43", "panicky/main.go:83"]),
        ("fatal error: all goroutines are asleep - deadlock!", ["panicky/main.go:85"]),
        ("RangeError: Maximum call stack size exceeded", []),
        ("panic: assignment to entry in nil map", ["panicky/main.go:43", "panicky/main.go:106", "panicky/main.go:106"]),
    ]


def test_a_panic_of_go_has_all_its_frames():
    panic = crashes(assemble(recorded("go.log")))[5]
    assert (panic.message, panic.callback, panic.reason) == (
        "assignment to entry in nil map",
        "proxy_on_request_headers",
        UNREACHABLE,
    )
    sdk = "github.com/proxy-wasm/proxy-wasm-go-sdk@v0.0.0-20260105142703-44c7d5847745/proxywasm/internal/abi_callback_l7.go"
    assert panic.frames == (
        Frame(function="main.parse", file="panicky/main.go", line=43),
        Frame(function="main.(*request).OnHttpRequestHeaders", file="panicky/main.go", line=69),
        Frame(function=f"{SDK}proxyOnRequestHeaders", file=sdk, line=34),
    )
    assert panic.summary == "panic: assignment to entry in nil map (panicky/main.go:43)"


def test_what_the_filter_logged_before_and_what_only_looks_like_a_panic_stays_as_it_was():
    plain = [entry.text for entry in assemble(recorded("go.log")) if isinstance(entry, LogLine) and entry.plugin]
    looks = ["panic: said by the filter itself, and no panic", "goroutine 1 [running]:"]
    assert plain == ["parsing b", "parsing b", "parsing a", *looks, "parsing a"]


@pytest.mark.parametrize("name", ["go-at-trace.log", "go-with-names.log"])
def test_host_calls_between_its_lines_and_a_trace_of_the_vm_change_nothing(name):
    [panic] = crashes(assemble(recorded(name)))
    assert panic.title in {"panic: no user in the session", "panic: assignment to entry in nil map"}
    assert panic.reason == UNREACHABLE
    assert own(panic)[-1] in {"panicky/main.go:59", "panicky/main.go:69"}


def test_a_panic_with_all_goroutines_has_the_frames_of_the_first():
    [panic] = crashes(assemble(recorded("go-memory.log")))
    assert panic.title == (
        "runtime: out of memory: cannot allocate 67108864-byte block (1006993408 in use)\nfatal error: out of memory"
    )
    assert own(panic) == ["panicky/main.go:91"]
    assert panic.frames[-1] == Frame(function="runtime.goexit", file="runtime/asm_wasm.s", line=428)


def test_panics_of_tinygo():
    found = crashes(assemble(recorded("tinygo.log")))
    assert [panic.title for panic in found] == [
        "panic: no user in the session",
        "panic: first line\nsecond line\n\tindented: /not/a/file.go:12",
        "panic: ",
        "panic: token: malformed claim",
        "panic: (70916:0x000120d0)",
        "panic: runtime error: assignment to entry in nil map",
        "panic: runtime error: index out of range",
        "panic: runtime error: nil pointer dereference",
        "panic: the first",
        "panic: the first",
        "panic: runtime error: scheduler is disabled",
        "panic: runtime error: assignment to entry in nil map",
        "panic: runtime error: out of memory",
    ]
    assert found[5].frames == (
        Frame(function="runtime.runtimePanicAt"),
        Frame(function="runtime.nilMapPanic"),
        Frame(function="main.parse"),
        Frame(function=f"{SDK}proxyOnRequestHeaders"),
    )
    assert own(found[5]) == ["main.parse"]


def test_a_trap_without_a_word():
    [panic] = crashes(assemble(recorded("tinygo-trap.log")))
    assert (panic.title, panic.message, panic.is_told, own(panic)) == (UNREACHABLE, UNREACHABLE, False, ["main.parse"])


def test_workers_that_crash_at_the_same_time():
    lines = recorded("go-four-workers.log")
    switches = sum(one.thread != other.thread for one, other in itertools.pairwise(lines))
    found = assemble(lines)
    assert switches > 20, "else it is no test"
    assert {(panic.title, *own(panic)) for panic in crashes(found)} == {
        ("panic: assignment to entry in nil map", "panicky/main.go:43", "panicky/main.go:69")
    }
    assert len(crashes(found)) == sum(line.text.startswith("Function: ") for line in lines) == 12
    assert [entry for entry in found if isinstance(entry, LogLine)] == [
        line for line in lines if not (line.plugin and line.text != "parsing b") and not line.text.startswith("Function: ")
    ]


def test_a_crash_at_the_start_is_the_reason_of_a_refusal():
    path = RECORDED / "go-at-start.log"
    [panic] = crashes(assemble(recorded(path.name)))
    assert panic.at_start
    assert refusal(path.read_text(encoding="utf-8").splitlines()) == "panic: no start today (panicky/main.go:28)"


def test_what_is_not_needed_can_be_left_out():
    for path in RECORDED.glob("*.log"):
        lines = recorded(path.name)
        assert crashes(assemble(filter(can_be_of_panic, lines))) == crashes(assemble(lines))


WHOLE = [line for line in recorded("go.log") if can_be_of_panic(line)][:40]
"""One panic."""


def of_thread(lines, thread, shift_s=0.0):
    return [
        LogLine(
            level=line.level, component="wasm", text=line.text, plugin=line.plugin, thread=thread, time_s=line.time_s + shift_s
        )
        for line in lines
    ]


@given(st.lists(st.integers(0, 3), min_size=100, max_size=400), st.integers(1, 40))
def test_any_interleaving_of_threads_comes_apart(turns, cut):
    """Threads 0 to 2 panic, the last of them without an end; 3 only logs."""
    left = {
        0: of_thread(WHOLE, "0"),
        1: of_thread(WHOLE, "1"),
        2: of_thread(WHOLE[: min(cut, 39)], "2"),
        3: [LogLine(level="info", component="wasm", text=f"{number}", plugin="f", thread="3") for number in range(50)],
    }
    lines = [left[turn].pop(0) for turn in [*turns, *[0] * 40, *[1] * 40, *[2] * 40, *[3] * 50] if left[turn]]
    found = assemble(lines)
    whole = crashes(assemble(WHOLE))[0]
    assert crashes(found) == [whole, whole]
    assert sum(len(entry.items) if isinstance(entry, Block) else 1 for entry in found) == len(lines)
    for thread in "23":
        assert [entry for entry in found if isinstance(entry, LogLine) and entry.thread == thread] == [
            line for line in lines if line.thread == thread
        ]


def test_a_block_waits_no_longer_than_that():
    assembler = PanicAssembler()
    assert assembler.wait_s(10.0) is None
    assert [entry for line in WHOLE[:5] for entry in assembler.feed(line, line, 10.0)] == []
    assert assembler.wait_s(10.1) == pytest.approx(PATIENCE_S - 0.1)
    assert assembler.expire(10.1) == []
    assert assembler.expire(10.0 + PATIENCE_S) == WHOLE[:5]
    assert assembler.wait_s(10.2) is None
    [late] = assembler.feed(WHOLE[-1], WHOLE[-1], 10.4)
    assert late.panic.title == UNREACHABLE


def test_what_was_written_long_ago_is_told_apart_by_its_own_times():
    later = of_thread(WHOLE, "1", shift_s=PATIENCE_S + 0.01)
    assert assemble([*of_thread(WHOLE[:3], "0"), *later])[:3] == of_thread(WHOLE[:3], "0")


def test_the_next_line_of_a_thread_that_lives_ends_the_waiting():
    other = LogLine(level="info", component="main", text="x", thread=WHOLE[0].thread)
    assert assemble([*WHOLE[:3], other]) == [*WHOLE[:3], other]


def test_memory_is_bounded():
    assembler = PanicAssembler()
    begin, more = WHOLE[0], LogLine(level="error", component="wasm", text="x" * 100, plugin="f", thread=WHOLE[0].thread)
    out = [entry for line in [begin, *[more] * (2 * MAX_LINES)] for entry in assembler.feed(line, line)]
    assert len(out) == 2 * MAX_LINES + 1
    long = LogLine(level="error", component="wasm", text="x" * (1 << 20), plugin="f", thread=WHOLE[0].thread)
    assert [entry for line in (begin, long) for entry in assembler.feed(line, line)] == [begin, long]
    begins = [of_thread([begin], str(number))[0] for number in range(2 * MAX_THREADS)]
    assert [entry for line in begins for entry in assembler.feed(line, line)] == begins[:MAX_THREADS]
    assert assembler.finish() == begins[MAX_THREADS:]


TEXTS = st.text() | st.sampled_from(
    [
        "panic: ",
        "fatal error: ",
        "",
        "\t",
        "goroutine ",
        "]:",
        ")",
        "(",
        ":",
        "a.go",
        "7",
        "Function: f failed: x",
        "  0:  0x1 - f",
    ]
)
LINES = st.builds(
    LogLine,
    level=st.sampled_from(["error", "info", "trace"]),
    component=st.sampled_from(["wasm", "main"]),
    text=TEXTS,
    plugin=st.sampled_from(["", "f"]),
    thread=st.sampled_from(["", "1", "2"]),
    time_s=st.none() | st.floats(0, 10),
)


@given(st.lists(LINES))
def test_nothing_is_lost_and_nothing_raises(lines):
    found = assemble(lines)
    left = [line for entry in found for line in (entry.items if isinstance(entry, Block) else (entry,))]
    assert sorted(map(id, left)) == sorted(map(id, lines))
    parse_panic(lines)
    refusal([json.dumps({"lvl": line.level, "logger": line.component, "msg": line.text, "tid": line.thread}) for line in lines])


@given(st.text(alphabet="\n\t goroutine[]:(){},.0x17af-a.Function: failed panic", max_size=400))
def test_no_stack_takes_long_to_read(text):
    line = LogLine(level="error", component="wasm", text=text, plugin="f")
    parse_panic([LogLine(level="error", component="wasm", text="panic: ", plugin="f"), line, line])


@pytest.mark.parametrize("text", ["(" * 200_000, "\n\t" * 100_000, "a(\n" * 100_000, " 1: 0x1 - " * 100_000, "a b" * 100_000])
def test_a_megabyte_of_nonsense_does_not_take_long(text):
    """Quadratic would be minutes, which is the suite's limit."""
    first = LogLine(level="error", component="wasm", text=f"panic: x\n\ngoroutine 1 [running]:\n{text}", plugin="f")
    end = LogLine(level="error", component="wasm", text=f"Function: f failed: x\n{text}")
    assert parse_panic([first, end]).title == "panic: x"
