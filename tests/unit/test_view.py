import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.errors import SandboxError
from sandbox.events import Answer, Bundled, BundlePart, LogRecord
from sandbox.observe.token import describe_life
from sandbox.view.answer import render_answer
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
        "request_headers": (("host", "a"),),
        "headers": (("x-a", "1"), ("x-a", "2"), ("x-b", "3")),
        "body": b"",
        "elapsed_s": 0.001,
        "injected": frozenset({"x-b"}),
        "token": None,
        "no_token_because": None,
    }
    return Answer(**values | fields)


def test_headers_keep_order_and_duplicates_and_the_filters_are_marked():
    assert text_of(render_answer(answer(), verbose=False)) == "HTTP/1.1 200 OK  (1.0 ms)\nx-a: 1\nx-a: 2\nx-b: 3  ◀ filter\n"


@pytest.mark.parametrize(
    ("body", "shown"),
    [
        (b'{"b": [1, 2], "a": {}}', '{"b": [1, 2], "a": {}}'),
        (b"plain\x1b[0m\n[/x]", "plain\\x1b[0m\n[/x]"),
        (b"\xff\x00", "[2 bytes, not text: use -s or -o FILE]"),
    ],
)
def test_bodies(body, shown):
    assert text_of(render_answer(answer(body=body), verbose=False)).endswith(f"\n\n{shown}\n")


def test_long_json_is_broken_where_it_must_be():
    body = b'{"short": [1, 2], "long": ["' + b"x" * 60 + b'", "' + b"y" * 60 + b'"]}'
    shown = text_of(render_answer(answer(body=body), verbose=False)).partition("\n\n")[2]
    assert shown.splitlines() == ["{", '  "short": [1, 2],', '  "long": [', f'    "{"x" * 60}",', f'    "{"y" * 60}"', "  ]", "}"]


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


def test_json_has_nothing_that_a_terminal_obeys(capsys):
    text = "a\x7fb\x9b31mc\u202ed\u2028é"
    print_json({"line": text})
    printed = capsys.readouterr().out
    assert json.loads(printed) == {"line": text}
    assert all(char.isprintable() for char in printed.rstrip("\n"))
    assert "é" in printed
