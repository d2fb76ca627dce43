"""`sandbox logs`: what it chooses and how it prints it, of a log that is there and of a stack that runs."""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest
from filters import build_deeds, deed, put_deeds, render_deeds
from stacks import Sandbox, get, interrupt, read_lines, until

from sandbox.engines.journal import JournalWriter

RECORDED = Path(__file__).parent.parent / "fixtures" / "logs" / "envoy-1.40.0"
OBEYED = ("\x1b]0;title", "\x07", "\x1b[2J", "\x1b[31m", "\x9b31m", "\u202e")
ESCAPES = "".join(OBEYED)
TOKEN = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJlbnZveSJ9.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
CRASH = "panic: assignment to entry in nil map"


@contextlib.contextmanager
def log_of(sandbox: Sandbox) -> Iterator[JournalWriter]:
    """The log of a stack that ran."""
    (sandbox.state / "logs").mkdir(parents=True)
    with contextlib.closing(JournalWriter(sandbox.state / "logs")) as journal:
        yield journal


@pytest.fixture
def past(sandbox: Sandbox) -> Sandbox:
    """One whose stack ran, was spoken to with a token, and crashed its filter."""
    with log_of(sandbox) as journal:
        journal.write("jwt-api", b"2026-11-23T03:00:00.000Z INFO jwt-api 200")
        journal.write(
            "upstream", f"2026-11-23T03:00:00.001Z WARNING upstream got authorization: Bearer {TOKEN} {ESCAPES}".encode()
        )
        journal.write("upstream", b"Traceback: not UTF-8: \xff\xfe")
        for line in (RECORDED / "go-with-names.log").read_bytes().splitlines():
            journal.write("envoy", line)
    return sandbox


def texts(sandbox: Sandbox, *flags: str) -> list[str]:
    return [json.loads(line)["text"] for line in sandbox.run("logs", *flags, "-o", "json").expect(0).stdout.splitlines()]


def test_what_is_chosen(past: Sandbox):
    assert texts(past, "--filter") == ["parsing b", CRASH]
    assert texts(past, "--level", "error", "envoy") == [CRASH]
    assert texts(past, "--level", "warning", "upstream", "jwt-api")[1:] == ["Traceback: not UTF-8: \ufffd\ufffd"]
    assert texts(past, "-i", "^200$", "-i", "^parsing") == ["200", "parsing b"]
    assert texts(past, "--filter", "-e", "panic") == ["parsing b"]
    assert texts(past, "-n", "2", "--filter", "-i", "parsing", "-i", "main.go") == ["parsing b", CRASH]


def test_a_crash_in_each_output(past: Sandbox):
    lines = past.run("logs", "--filter", "-n", "1").expect(0).stdout.splitlines()
    assert re.fullmatch(rf"[\d:.]+ filter   crash    {CRASH}", lines[0])
    assert [line.split() for line in lines[1:3]] == [
        ["main.parse", "panicky/main.go:43"],
        ["main.(*request).OnHttpRequestHeaders", "panicky/main.go:69"],
    ]
    assert "failure policy FAIL_RELOAD" in lines[-1]
    value = json.loads(past.run("logs", "--filter", "-n", "1", "-o", "json").expect(0).stdout)
    assert value["panic"]["message"] == "assignment to entry in nil map"
    assert value["panic"]["policy"] == "FAIL_RELOAD"
    raw = past.run("logs", "--filter", "-n", "1", "-o", "raw").expect(0).stdout
    assert raw in (RECORDED / "go-with-names.log").read_text(encoding="utf-8")
    assert raw.count("\n") == 63


@pytest.mark.parametrize("output", ["text", "json", "raw"])
def test_tokens_are_shown_when_that_is_asked_for_alone(past: Sandbox, output: str):
    hidden = past.run("logs", "upstream", "-o", output).expect(0).stdout
    assert "Bearer eyJ…(ES256, subject envoy, never expires)" in hidden
    assert "c2lnbmF0dXJl" not in hidden
    assert TOKEN in past.run("logs", "upstream", "-o", output, "--show-secrets").expect(0).stdout


@pytest.mark.parametrize("output", ["text", "json", "raw"])
@pytest.mark.parametrize("secrets", [(), ("--show-secrets",)], ids=["", "--show-secrets"])
def test_27_nothing_that_a_terminal_obeys_reaches_it(past: Sandbox, output: str, secrets: tuple[str, ...]):
    terminal = past.spawn("logs", "-o", output, *secrets, NO_COLOR="1")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert "title" in terminal.before
    assert not [text for text in OBEYED if text in terminal.before]


def test_raw_is_what_the_service_wrote_where_no_terminal_is(past: Sandbox):
    shown = past.run("logs", "upstream", "-o", "raw", "--show-secrets").expect(0).stdout
    assert shown.splitlines()[0].endswith(f"Bearer {TOKEN} {ESCAPES}")


def test_27_a_flood_is_sifted(sandbox: Sandbox):
    """100,000 lines and one of a megabyte, of which the log has kept what it keeps."""
    with log_of(sandbox) as journal:
        line = b'{"ts":"2026-11-23T03:00:00.000+00:00","lvl":"info","logger":"wasm","tid":"7","msg":"wasm log f f f: flood %d"}'
        for number in range(100_000):
            journal.write("envoy", line % number)
        journal.write("envoy", line.replace(b"flood %d", b"panic: " + b"m" * 1_000_000 + TOKEN.encode()))
        journal.write("envoy", b"\xff\xfe" * 1000 + ESCAPES.encode())
        journal.write("envoy", line % 100_000)
    assert texts(sandbox, "--filter", "-n", "2", "-i", "^flood") == ["flood 99999", "flood 100000"]
    found = texts(sandbox, "-i", "flood [0-9]*7777$", "--level", "info", "-e", "^flood 9")
    assert found == [f"flood {number}7777" for number in range(10) if number < 9][-len(found) :]
    assert found[-1] == "flood 87777"
    long = sandbox.run("logs", "-n", "3").expect(0).stdout
    assert len(long) > 1_000_000
    assert "c2lnbmF0" not in long
    assert not [text for text in OBEYED if text in long]


@pytest.fixture
def crashing(running: Sandbox) -> Sandbox:
    """One whose filter crashes on requests that have the header `crash`."""
    resource = render_deeds(build_deeds(running.folder), deed("request", "trap", "crash"))
    version = put_deeds(resource, running.run_folder / "xds" / "filter.yaml")
    status = f"http://127.0.0.1:{running.ports['console']}/api/status"
    until(lambda: json.loads(get(status)[2])["filter"]["version"] == version, what="the filter that crashes")
    return running


def test_16_a_crash_is_followed_live(crashing: Sandbox):
    viewer = crashing.start("logs", "-f", "-n", "1", "-o", "json", "envoy")
    read_lines(viewer.stdout, lambda line: True)
    ingress = f"http://127.0.0.1:{crashing.ports['ingress']}/"
    assert get(ingress, {"crash": "now"})[0] == 503
    lines = read_lines(viewer.stdout, lambda line: '"panic"' in line)
    crash = json.loads(next(line for line in lines if '"panic"' in line))
    interrupt(viewer)
    assert viewer.wait(10) == 130
    assert crash["text"] == "panic: a trap, as it was told to"
    assert crash["panic"]["policy"] == "FAIL_RELOAD"
    assert crash["panic"]["frames"][0]["file"].endswith("deeds.go")
    shown = crashing.run("logs", "--filter", "-n", "1").expect(0).stdout
    assert "panic: a trap, as it was told to" in shown
    assert "deeds.go:" in shown
    assert "failure policy FAIL_RELOAD (now): a new VM takes the next request" in shown
    until(lambda: get(ingress)[0] == 200, what="the new VM")
