import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.errors import SandboxError
from sandbox.events.bundle import Bundled, BundlePart
from sandbox.events.exchange import Answer, Timing
from sandbox.events.filter import BuiltModule
from sandbox.events.stack import LogRecord
from sandbox.observe.token import describe_life
from sandbox.view.answer import render_answer, render_timing
from sandbox.view.body import MAX_SHOWN_BYTES, BodyView, PlainBody
from sandbox.view.build import render_builds
from sandbox.view.bundle import render_bundle
from sandbox.view.errors import render_error
from sandbox.view.headers import shorten
from sandbox.view.logs import record_as_json, render_record
from sandbox.view.terminal import print_json, printable


def text_of(renderable):
    file = io.StringIO()
    Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True, width=200).print(renderable)
    return file.getvalue()


@given(st.text())
def test_nothing_that_a_terminal_would_obey_gets_through(text):
    assert all(char.isprintable() or char == "\t" for char in printable(text))


def test_an_escape_in_a_log_line_is_shown_not_obeyed():
    shown = text_of(render_record(LogRecord(time_s=0.0, service="upstream", line="\x1b[2Jgone [/admin] [red]x")))
    assert "\x1b" not in shown
    assert "\\x1b[2Jgone [/admin] [red]x" in shown


def test_an_envoy_line_keeps_its_brackets():
    line = '{"ts":"2026-11-22T20:31:49.408+00:00","lvl":"info","logger":"wasm","msg":"wasm log p r v: [info][wasm] hi"}'
    record = LogRecord(time_s=0.0, service="envoy", line=line)
    assert "filter   info     [info][wasm] hi" in text_of(render_record(record))
    assert record_as_json(record) == {
        "time": "2026-11-22T20:31:49.408000Z",
        "service": "envoy",
        "filter": True,
        "level": "info",
        "component": "wasm",
        "text": "[info][wasm] hi",
    }


def test_an_error_begins_with_its_cause_and_ends_with_the_way_on():
    shown = text_of(render_error(SandboxError("it broke", details="one\ntwo", hint="mend it")))
    assert shown == "error: it broke\n  one\n  two\nhint: mend it\n"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Bearer eyJhbGciOiJFUzI1NiIsInR5.cGF5bG9hZA.c2ln", "Bearer eyJ…"),
        ("eyJhbGciOiJFUzI1NiIsInR5.cGF5bG9hZA.c2ln", "eyJ…"),
        ("hello from wasm", "hello from wasm"),
        ("1.2.3", "1.2.3"),
        ("", ""),
    ],
)
def test_only_tokens_are_shortened(value, shown):
    assert shorten(value) == shown


@pytest.mark.parametrize(
    ("seconds", "words"), [(None, "never expires"), (-2.4, "expired 2 s ago"), (59.9, "59 s left"), (61.0, "1 min 01 s left")]
)
def test_the_life_of_a_token_in_words(seconds, words):
    assert describe_life(seconds) == words


def answer(**fields):
    values = {
        "method": "GET",
        "url": "http://127.0.0.1:1/",
        "http_version": "HTTP/1.1",
        "status": 200,
        "reason": "OK",
        "request_headers": (("host", "a"), ("x-\x1b[0m", "[/x]\x1b")),
        "headers": (("x-a", "1"), ("x-a", "2"), ("server", "envoy")),
        "elapsed_s": 0.001,
        "exchange": None,
        "unseen_because": None,
        "filtered": True,
        "token": None,
        "no_token_because": None,
    }
    return Answer(**values | fields)


def test_headers_keep_order_and_duplicates_and_are_marked_as_far_as_somebody_saw():
    assert text_of(render_answer(answer())).splitlines() == [
        "GET / HTTP/1.1",
        "host: a  · client",
        "x-\\x1b[0m: [/x]\\x1b  · client",
        "",
        "HTTP/1.1 200 OK  (1.0 ms)",
        "x-a: 1",
        "x-a: 2",
        "server: envoy  · Envoy",
    ]


def test_an_exchange_that_nobody_saw_is_told_to_be_that():
    shown = text_of(render_answer(answer(unseen_because="Envoy is busy", no_token_because="none yet")))
    assert shown.splitlines()[-2:] == ["! none yet", "! nobody saw what the filter did: Envoy is busy"]


def body_text(body, content_type=""):
    view = BodyView(content_type, secrets=False)
    return [
        str(text)
        for text in (*(view.feed(body[place : place + 7]) for place in range(0, len(body), 7)), view.end())
        if text is not None
    ]


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b"", []),
        (b'{"b": [1, 2], "a": {}}', ['{"b": [1, 2], "a": {}}']),
        (b"plain\x1b[0m\n[/x]", ["plain\\x1b[0m\n[/x]"]),
        (b"\xff\x00", ["[2 bytes, not text: use -s or -o FILE]"]),
        (b"a" * MAX_SHOWN_BYTES + b"bc", ["a" * MAX_SHOWN_BYTES + "\n[2 more bytes: use -s or -o FILE]"]),
        (b"a" * (MAX_SHOWN_BYTES - 1) + "é".encode(), ["a" * (MAX_SHOWN_BYTES - 1) + "\n[1 more bytes: use -s or -o FILE]"]),
    ],
    ids=["empty", "json", "text", "binary", "large", "cut in a character"],
)
def test_bodies(body, shown):
    assert body_text(body) == shown


def test_what_comes_line_by_line_is_shown_so():
    shown = body_text(b"data: 1\n\ndata: 22\n\nda", "text/event-stream")
    assert "\n".join(shown).split("\n") == ["data: 1", "", "data: 22", "", "da"]
    assert len(shown) > 2


def test_long_json_is_broken_where_it_must_be():
    [shown] = body_text(b'{"short": [1, 2], "long": ["' + b"x" * 60 + b'", "' + b"y" * 60 + b'"]}')
    assert shown.splitlines() == ["{", '  "short": [1, 2],', '  "long": [', f'    "{"x" * 60}",', f'    "{"y" * 60}"', "  ]", "}"]


def test_the_parts_of_the_time_as_far_as_they_are_known():
    timing = Timing(total_s=0.0123, client_s=0.001, envoy_s=0.0013, upstream_s=0.01, details="via_upstream")
    assert str(render_timing(timing, filtered=True)) == "12.3 ms: client 1.0 · filter and Envoy 1.3 · upstream 10.0"
    assert str(render_timing(replace(timing, upstream_s=None), filtered=False)) == "12.3 ms: client 1.0 · Envoy 1.3"
    assert str(render_timing(replace(timing, client_s=None), filtered=True)) == "12.3 ms"


def test_a_token_in_pieces_is_no_token_when_printed():
    token = "eyJhbGciOiJFUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJlbnZveSJ9.c2lnbmF0dXJlc2lnbmF0dXJl"
    body = PlainBody(secrets=False)
    text = f"a {token}\nb {token}".encode()
    printed = b"".join(body.feed(text[place : place + 5]) for place in range(0, len(text), 5)) + body.end()
    assert b"c2lnbmF0dXJl" not in printed
    assert printed.startswith(b"a eyJ")
    plain = PlainBody(secrets=True)
    assert plain.feed(text[:9]) + plain.feed(text[9:]) + plain.end() == text
    binary = bytes(range(256)) * 3
    body = PlainBody(secrets=False)
    assert body.feed(binary) + body.end() == binary


def test_a_bundle_has_a_row_for_each_part_and_shows_names_as_they_are():
    parts = (
        BundlePart(name="envoy.whl", size_bytes=36_900_000, outcome="packed"),
        BundlePart(name="[red]x\x1b[2J", size_bytes=7, outcome="here already"),
    )
    bundled = Bundled(
        file="room.bundle",
        platform="linux/amd64",
        sandbox_version="0.1.0",
        envoy_version="1.40.0",
        parts=parts,
        total_bytes=36_910_080,
        elapsed_s=1.0,
    )
    assert [line.split() for line in text_of(render_bundle(bundled)).splitlines()] == [
        ["envoy.whl", "36.9", "MB", "packed"],
        ["[red]x\\x1b[2J", "7", "bytes", "here", "already"],
        ["room.bundle", "36.9", "MB", "linux/amd64,", "sandbox", "0.1.0,", "Envoy", "1.40.0"],
    ]


def built(**fields):
    return BuiltModule(
        **{
            "path": "/s/a b.wasm",
            "sha256": "0123456789abcdef",
            "size_bytes": 2_978_538,
            "build_s": 0.31,
            "toolchain": "go",
            "version": "1.26.6",
            "level": "ok",
            "load_s": 2.25,
            "problem": None,
            "fix": "",
            **fields,
        }
    )


def test_builds_stand_side_by_side():
    other = built(path="/s/b.wasm", size_bytes=191_776, build_s=6.94, toolchain="tinygo", version="0.41.1", load_s=0.19)
    assert text_of(render_builds([built(), other], saved=None)).splitlines() == [
        "made by            Go 1.26.6         TinyGo 0.41.1",
        "size               2,978,538 bytes   191,776 bytes",
        "SHA-256            0123456789ab      0123456789ab",
        "built in           0.3 s             6.9 s",
        "Envoy loads it in  about 2.2 s       about 0.19 s",
        "next: sandbox swap '/s/a b.wasm'",
        "next: sandbox swap /s/b.wasm",
    ]


def test_a_build_with_a_problem():
    module = built(toolchain="command", version="", load_s=None, level="warning", problem="no [timer]", fix="export\x1b it")
    lines = text_of(render_builds([module], saved=Path("x.wasm"))).splitlines()
    assert lines[0].split(maxsplit=2)[2] == "the build command"
    assert lines[-3:] == ["Envoy loads it in  ?", "! no [timer] → export\\x1b it", "next: sandbox swap x.wasm"]
    assert "made by            zig 0.13" in text_of(render_builds([built(toolchain="command", version="zig 0.13")], saved=None))


def test_json_has_nothing_that_a_terminal_obeys(capsys):
    text = "a\x7fb\x9b31mc\u202ed\u2028é"
    print_json({"line": text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"line": text}
    assert all(char.isprintable() for char in printed.rstrip("\n"))
    assert "é" in printed
    print_json({"line": "\x7f"}, {"line": "plain"}, {"line": text})
    lines = capsys.readouterr().out.split("\n")
    assert [json.loads(line)["line"] for line in lines[:-1]] == ["\x7f", "plain", text]
    assert all(line.isprintable() for line in lines)
