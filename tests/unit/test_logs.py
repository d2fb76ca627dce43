"""Which entries `logs` chooses, of an engine that has lines to give, and how they are printed."""

import io
import itertools
import json
import re
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console

from sandbox.engines.journal import JournalWriter, read_journal
from sandbox.envoy.resource import read_failure_policy
from sandbox.errors import ConfigError, SandboxError
from sandbox.events.stack import LogRecord
from sandbox.observe.panic import Block
from sandbox.session.line_choice import make_line_choice
from sandbox.session.logs import LINES_A_CRASH, LINES_A_LONG_CRASH, read_logs
from sandbox.view.logs import raw_lines, record_as_json, render_record
from sandbox.workspace import HOME, Project, State

RECORDED = Path(__file__).parent.parent / "fixtures" / "logs" / "envoy-1.40.0"


def of_envoy(name):
    return [("envoy", line) for line in (RECORDED / name).read_text(encoding="utf-8").splitlines()]


def of_filter(text, level="info"):
    said = {"ts": "2026-11-23T03:00:00.000+00:00", "lvl": level, "logger": "wasm", "tid": "9", "msg": f"wasm log f f f: {text}"}
    return "envoy", json.dumps(said)


def of_service(text, level="INFO"):
    return "jwt-api", f"2026-11-23T03:00:00.000Z {level} jwt-api {text}"


class EngineWithALog:
    """`Engine.logs` over a real journal; what it is asked for is kept."""

    def __init__(self, folder):
        self._folder = folder
        self.asked = []
        self.alive = True
        self.has_read_all = threading.Event()

    def logs(self, *, services, since_s, tail, follow, matching):
        self.asked.append(tail)

        def wanted(record):
            timely = since_s is None or record.time_s >= since_s
            return timely and (not services or record.service in services) and matching(record)

        def is_alive():
            self.has_read_all.set()
            return self.alive

        return read_journal(self._folder, wanted=wanted, tail=tail, while_=is_alive if follow else None)


class Logs:
    """A state folder with a log, and `read_logs` on it."""

    def __init__(self, root):
        self.state = State(root=root)
        self.state.logs.mkdir(parents=True)
        self.writer = JournalWriter(self.state.logs)
        self.engine = EngineWithALog(self.state.logs)

    def write(self, *lines):
        for service, line in lines:
            self.writer.write(service, line.encode(errors="surrogateescape"))

    def read(self, *services, since=None, tail=None, follow=False, only_filter=False, level=None, include=(), exclude=()):
        choice = make_line_choice(only_filter=only_filter, level=level, include=include, exclude=exclude)
        context = SimpleNamespace(state=self.state, engine=self.engine, project=Project(root=HOME))
        return read_logs(context, services, choice, since=since, tail=tail, follow=follow)

    def texts(self, *services, **options):
        return [record_as_json(entry)["text"] for entry in self.read(*services, **options)]


@pytest.fixture
def logs(tmp_path):
    made = Logs(tmp_path)
    yield made
    made.engine.alive = False
    made.writer.close()


CRASH = "panic: no user in the session"


def test_a_crash_is_one_entry_among_the_others(logs):
    logs.write(of_service("before"), *of_envoy("go-at-trace.log"), of_service("after"))
    entries = list(logs.read())
    texts = [record_as_json(entry)["text"] for entry in entries]
    assert [texts[0], texts[-1]] == ["before", "after"]
    assert texts.count(CRASH) == 1
    assert texts.index(CRASH) < texts.index("GET /panic 503 - 1 ms")
    [crash] = [entry for entry in entries if isinstance(entry, Block)]
    assert (len(crash.items), crash.policy) == (40, "FAIL_RELOAD")


def test_the_filters_own(logs):
    logs.write(of_service("no"), ("envoy", "plain"), of_filter("yes"), *of_envoy("go-with-names.log"))
    assert logs.texts(only_filter=True) == ["yes", "parsing b", "panic: assignment to entry in nil map"]
    assert logs.texts("envoy", only_filter=True, tail=1) == ["panic: assignment to entry in nil map"]
    with pytest.raises(ConfigError, match="the filter writes nothing into the log of jwt-api"):
        logs.read("jwt-api", only_filter=True)


@pytest.mark.parametrize(
    ("level", "shown"),
    [
        ("trace", "abcdefgh"),
        ("debug", "bcdefgh"),
        ("info", "cdefgh"),
        ("warning", "defh"),
        ("error", "efh"),
        ("critical", "fh"),
    ],
)
def test_levels(logs, level, shown):
    for text, said in zip("abcdef", ("trace", "debug", "info", "warning", "error", "critical"), strict=True):
        logs.write(of_filter(text, said) if text != "d" else of_service(text, said.upper()))
    logs.write(("envoy", '{"access":"i","method":"GET","path":"g","status":503,"flags":"-","ms":1}'))
    logs.write(("upstream", "h, a line of no known format"))
    assert [re.sub("GET ", "", text)[0] for text in logs.texts(level=level)] == list(shown)


def test_a_crash_is_an_error(logs):
    logs.write(*of_envoy("tinygo-trap.log"))
    assert logs.texts(level="error") == ["RuntimeError: unreachable"]
    assert logs.texts(level="critical") == []


def test_patterns(logs):
    logs.write(*map(of_service, ("one token", "two tokens", "a lease")), *of_envoy("go-at-trace.log"))
    assert logs.texts("jwt-api", include=("token",)) == ["one token", "two tokens"]
    assert logs.texts("jwt-api", include=("^one", "lease$")) == ["one token", "a lease"]
    assert logs.texts("jwt-api", exclude=("one", "two")) == ["a lease"]
    assert logs.texts("jwt-api", include=("token",), exclude=("s$",)) == ["one token"]
    assert logs.texts(include=(r"main\.go:59",)) == [CRASH], "a crash is searched whole"
    assert logs.texts(include=("0x20e02c",), only_filter=True) == [], "what is not shown of it is not"
    assert CRASH not in logs.texts(exclude=("no user",))


@pytest.mark.parametrize("pattern", ["(", "*", "[a", "(?P<a>x)(?P<a>y)", "a{99999999999999}", "\\"])
@pytest.mark.parametrize("option", ["include", "exclude"])
def test_a_pattern_that_is_none(option, pattern):
    with pytest.raises(ConfigError, match=f"--{option} .* is no regular expression: ") as raised:
        make_line_choice(**{"only_filter": False, "level": None, "include": (), "exclude": ()} | {option: (pattern,)})
    assert raised.value.exit_code == 2


@pytest.mark.parametrize("follow", [False, True])
def test_a_crash_counts_as_one_entry(logs, follow):
    logs.write(*map(of_service, "abc"), *of_envoy("go-with-names.log"))
    logs.engine.alive = False
    everything = logs.texts()
    for tail in (0, 1, 2, 5, 6, len(everything), 1000):
        assert logs.texts(tail=tail, follow=follow) == everything[-tail:] * bool(tail)
    assert 2 * LINES_A_CRASH + follow * LINES_A_LONG_CRASH in logs.engine.asked, "not all that there is was asked for"


@pytest.mark.parametrize("follow", [False, True])
def test_a_long_crash_is_whole(logs, follow):
    logs.write(*of_envoy("go-memory.log"), *map(of_service, "abc"))
    logs.engine.alive = False
    [crash, *_] = logs.read("envoy", tail=1, only_filter=True, follow=follow)
    assert len(crash.items) == 697


def test_more_is_read_where_a_few_lines_are_not_enough(logs):
    logs.write(*map(of_service, "abc"), *[of_filter(f"{number}") for number in range(500)])
    assert logs.texts(include=("^[a-z]$",), tail=2) == ["b", "c"]
    logs.engine.alive = False
    assert logs.texts(include=("^[a-z]$",), tail=2, follow=True) == ["b", "c"]


def follow(logs, got, **options):
    """Read in the background until the stack ends."""

    def read():
        for entry in logs.read(follow=True, **options):
            got.append(entry)

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.mark.parametrize("tail", [None, 0, 2])
def test_followed_crashes_come_at_once_whole_or_not(logs, tail):
    logs.write(*map(of_service, "abc"))
    got = []
    thread = follow(logs, got, tail=tail)
    begun = {None: ["a", "b", "c"], 0: [], 2: ["b", "c"]}[tail]
    assert logs.engine.has_read_all.wait(10)
    until(lambda: len(got) == len(begun))
    crash = of_envoy("go-at-trace.log")
    logs.write(*crash[:60])
    logs.write(*crash[60:])
    until(lambda: any(isinstance(entry, Block) for entry in got))
    head = [line for line in of_envoy("go.log") if "wasm log" in line[1]][:5]
    logs.write(*head)
    until(
        lambda: len(got) >= 5 and [entry.line for entry in got[-5:] if isinstance(entry, LogRecord)] == [each[1] for each in head]
    )
    logs.engine.alive = False
    thread.join(10)
    assert not thread.is_alive()
    texts = [record_as_json(entry)["text"] for entry in got]
    assert texts[: len(begun)] == begun
    assert texts.count(CRASH) == 1


def test_what_reading_raises_is_raised(logs):
    def broken(**_):
        yield LogRecord(time_s=1.0, service="jwt-api", line="x")
        raise SandboxError("gone")

    logs.engine.logs = broken
    for options in ({"follow": True}, {"follow": True, "tail": 1}, {}, {"tail": 1}):
        with pytest.raises(SandboxError, match="gone"):
            list(logs.read(**options))


def test_a_reader_that_has_seen_enough_leaves_no_thread(logs):
    logs.write(*[of_service(f"{number}") for number in range(5000)])
    before = threading.active_count()
    entries = logs.read(follow=True)
    assert len(list(itertools.islice(entries, 10))) == 10
    entries.close()
    until(lambda: threading.active_count() == before)


def policy(text):
    return read_failure_policy(f"resources: [{{typed_config: {{config: {{{text}}}}}}}]", "filter.yaml")


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "FAIL_CLOSED"),
        ("failure_policy: UNSPECIFIED", "FAIL_CLOSED"),
        ("failure_policy: FAIL_OPEN", "FAIL_OPEN"),
        ("fail_open: true", "FAIL_OPEN"),
        ("fail_open: false", "FAIL_CLOSED"),
        ("failure_policy: FAIL_RELOAD", "FAIL_RELOAD"),
    ],
)
def test_the_failure_policy(text, word):
    assert policy(text) == word


@pytest.mark.parametrize(
    "text", ["", "x", "resources: 1", "resources: [x]", "resources: [{typed_config: {config: x}}]", "[", "\x00"]
)
def test_what_holds_no_policy(text):
    with pytest.raises(ConfigError):
        read_failure_policy(text, "filter.yaml")


def test_the_policy_of_the_filter_that_runs_goes_before_the_projects(logs):
    logs.write(*of_envoy("tinygo-trap.log"))
    for folder, word in ((logs.state.mounts, "FAIL_OPEN"), (logs.state.run, "FAIL_CLOSED")):
        (folder / "xds").mkdir(parents=True)
        (folder / "xds" / "filter.yaml").write_text(f"resources: [{{typed_config: {{config: {{failure_policy: {word}}}}}}}]")
        [crash] = [entry for entry in logs.read() if isinstance(entry, Block)]
        assert crash.policy == word
    (logs.state.run / "xds" / "filter.yaml").write_bytes(b"\xff\x00[")
    [crash] = [entry for entry in logs.read() if isinstance(entry, Block)]
    assert crash.policy == "FAIL_OPEN"


def text_of(entry, **options):
    file = io.StringIO()
    Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True, width=200).print(
        render_record(entry, **options)
    )
    return file.getvalue()


def test_a_crash_is_printed_as_one_block(logs):
    logs.write(*of_envoy("go-with-names.log"))
    [crash] = [entry for entry in logs.read() if isinstance(entry, Block)]
    first, *rest = text_of(crash).splitlines()
    assert re.fullmatch(r"\d\d:\d\d:\d\d\.\d{3} filter   crash    panic: assignment to entry in nil map", first)
    assert [line.strip() for line in rest] == [
        "main.parse                            panicky/main.go:43",
        "main.(*request).OnHttpRequestHeaders  panicky/main.go:69",
        "… 1 frame of the runtime",
        "in proxy_on_request_headers: RuntimeError: unreachable",
        "failure policy FAIL_RELOAD (now): a new VM takes the next request; after another crash soon, 503 for about a second",
    ]
    value = record_as_json(crash)
    assert (value["service"], value["filter"], value["level"], value["component"]) == ("envoy", True, "error", "wasm")
    assert value["panic"]["frames"][0] == {"function": "main.parse", "file": "panicky/main.go", "line": 43}
    assert {name: value["panic"][name] for name in ("message", "callback", "reason", "policy")} == {
        "message": "assignment to entry in nil map",
        "callback": "proxy_on_request_headers",
        "reason": "RuntimeError: unreachable",
        "policy": "FAIL_RELOAD",
    }
    assert raw_lines(crash, for_terminal=False) == [line for _, line in of_envoy("go-with-names.log")[1:64]]


def test_a_crash_at_the_start_names_no_policy(logs):
    logs.write(*of_envoy("go-at-start.log"))
    [crash] = [entry for entry in logs.read() if isinstance(entry, Block)]
    assert crash.policy is None
    assert "it was starting: Envoy does not take this filter" in text_of(crash)


def test_nothing_that_a_terminal_obeys_and_no_token_gets_out_of_a_crash(logs):
    token = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJ4In0.c2lnbmF0dXJlc2lnbmF0dXJl"
    said = f"\x1b[2J\x07{token}\n\x9b31m"
    lines = [
        of_filter(f"panic: {said}", "info"),
        (
            "envoy",
            json.dumps(
                {"lvl": "error", "logger": "wasm", "tid": "9", "msg": f"Function: f{said} failed: {said}\n  0:  0x1 - f{said}"}
            ),
        ),
    ]
    logs.write(*lines)
    [crash] = logs.read()
    shown = text_of(crash)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert "c2lnbmF0" not in shown + json.dumps(record_as_json(crash)) + "".join(raw_lines(crash, for_terminal=False))
    assert token in text_of(crash, secrets=True)
    assert token in "".join(raw_lines(crash, secrets=True, for_terminal=True))
    assert all(line.isprintable() for line in raw_lines(LogRecord(time_s=0, service="x", line=said), for_terminal=True))
