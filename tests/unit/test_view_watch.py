import io
import json
import time
from pathlib import Path

import jsonschema_rs
import pytest
from exchanges import REQUEST, RESPONSE, exchange
from rich.console import Console

from sandbox.events.stack import LogRecord
from sandbox.events.watch import Dropped, FilterRefused, FilterState, FilterSwapped, TapState, TokenFetched, TokenState
from sandbox.observe.exchange import make_way
from sandbox.observe.panic import Block, Frame, Panic
from sandbox.view.exchange import INJECTS
from sandbox.view.watch.board import MAX_ROWS, Board
from sandbox.view.watch.lines import Documents, Talk
from sandbox.view.watch.row import render_line, render_page, render_row
from sandbox.view.watch.strip import Strip

SCHEMA = json.loads((Path(__file__).resolve().parents[2] / "docs/exchange.schema.json").read_text(encoding="utf-8"))
ATTACHED = TapState(attached=True, share=1, reason=None)
TOKEN = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJlbnZveSJ9.c2lnbmF0dXJl"
A, B = "a" * 64 + "-0123456789ab", "b" * 64 + "-0123456789ab"


@pytest.fixture(autouse=True)
def utc(monkeypatch):
    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def crash(message="index out of range", **fields):
    panic = Panic(
        message=message,
        title=f"panic: {message}",
        callback="proxy_on_request_headers",
        reason="RuntimeError: unreachable",
        frames=(Frame(function="main.handle", file="main.go", line=12),),
    )
    record = LogRecord(time_s=1000.0, service="envoy", line="the last line")
    return Block(**{"items": (record,), "panic": panic, "policy": "FAIL_RELOAD"} | fields)


# One line


@pytest.mark.parametrize(
    ("fields", "deeds"),
    [
        ({}, "◀ +x-auth"),
        ({"response": make_way(RESPONSE, RESPONSE)}, ""),
        (
            {
                "request": make_way((("via", "1"), ("b", "1")), (("b", "2"),)),
                "response": make_way(RESPONSE, (*RESPONSE, ("c", "3"))),
            },
            "▶ ~b 1 → 2 -via  ◀ +c",
        ),
        ({"answered_by": "filter", "response": make_way((), ())}, "the filter answered"),
        (
            {"answered_by": "envoy", "details": "upstream_response_timeout", "response": make_way((), ())},
            "Envoy answered: upstream_response_timeout",
        ),
        ({"answered_by": "envoy", "trapped": True, "details": "wasm_fail_stream", "response": None}, "TRAPPED"),
        ({"answered_by": None, "trapped": None, "response": None}, "the filter answered, or crashed"),
        (
            {"answered_by": None, "status": None, "details": "downstream_remote_disconnect", "response": None},
            "no answer: downstream_remote_disconnect",
        ),
        ({"response": make_way((), (("x-a", "1\r\nx-b: 2"), ("x-c", "caf!")))}, f"◀ +x-a {INJECTS} +x-c ≈"),
    ],
)
def test_what_the_filter_did_in_a_line(fields, deeds):
    status = f"{fields['status'] or '-' if 'status' in fields else 200:>6}"
    wanted = f"00:16:40.000  GET      {'/a':<32}  {status}       1.2  {deeds}"
    assert render_line(exchange(**fields)).plain.rstrip() == wanted.rstrip()


def test_a_line_is_as_long_as_its_path_and_a_row_is_cut():
    long = exchange(path="/" + "x" * 500, method="PROPFINDER", duration_ms=None)
    assert "x" * 500 in render_line(long).plain
    row = render_row(long, 120).plain
    assert "PROPFI…  /xxx" in row
    assert "xxx…  " in row
    assert row.index("200") == render_row(exchange(), 120).plain.index("200")


@pytest.mark.parametrize("text", ["\x1b[2J\x1b]0;title\x07", "[red]x[/]", "a\u202eb", "\x9b31m", "line\nline\rline", "中文" * 30])
def test_nothing_foreign_reaches_the_terminal(text):
    headers = ((text, text),)
    seen = exchange(
        id=text,
        path=text,
        method=text,
        details=text,
        answered_by="envoy",
        request=make_way((), headers),
        response=make_way(headers, ((text, "other" + text),)),
    )
    strip = Strip()
    strip.feed(TapState(attached=False, share=None, reason=text), 0.0)
    strip.feed(FilterState(version=text, rejected=0, failed=0), 0.0)
    strip.feed(FilterSwapped(time_s=0.0, version=text, before=None), 0.0)
    strip.feed(TokenFetched(time_s=0.0, outcome=text, count=1), 0.0)
    strip.feed(Dropped(count=1, because=text), 0.0)
    strip.feed(crash(text, policy=text), 0.0)
    board = Board(strip)
    board.add(seen, 0.0)
    lines = [render_line(seen), render_row(seen, 80), *render_page(seen), *board.render(80, 24, 0.0)]
    talk = Talk(secrets=True)
    talk.render(Dropped(count=1, because=text))
    lines += [talk.render(crash(text)), *talk.sum_up(0.0)]
    board.press("enter")
    lines += board.render(80, 24, 0.0)
    file = io.StringIO()
    Console(file=file, width=1000, color_system=None).print(*lines, sep="\n")
    assert all(char.isprintable() or char == "\n" for char in file.getvalue())
    if text.startswith("[red]"):
        assert text in file.getvalue()


# One exchange in full


def test_a_page():
    seen = exchange(request=make_way(REQUEST, (*REQUEST[:2], ("x-a", "1"))), answered_by="envoy", details="route_not_found")
    assert "\n".join(line.plain.rstrip() for line in render_page(seen)) == (
        """\
00:16:40.000  GET      /a
   200       1.2  Envoy answered: route_not_found  x-request-id id-0

▶ request  2 changes
  :method: GET
  :path: /a
+ x-a: 1
- x-team: red

◀ response  1 change
  :status: 200
  server: a
+ x-auth: Bearer eyJ…"""
    )


def test_a_page_of_a_crash():
    seen = exchange(request=make_way(REQUEST, None), response=None, trapped=True, answered_by="envoy", details="wasm_fail_stream")
    shown = [line.plain for line in render_page(seen)]
    assert "TRAPPED" in shown[1]
    assert shown[2] == "Envoy says: wasm_fail_stream"
    assert shown[4] == "▶ request  nothing came out of the filter"


# The strip


def strip_of(*records, now_s=0.0, **options):
    strip = Strip(**options)
    for record in records:
        strip.feed(record, 0.0)
    return [line.plain for line in strip.render(now_s)]


def test_a_strip_of_which_nothing_is_known():
    assert strip_of() == [f"{name:<9}nothing is known yet" for name in ("token", "filter", "sees")]


def test_the_life_of_the_token():
    live = FilterState(version=A, rejected=0, failed=0)
    fetches = [TokenFetched(time_s=1000.0, outcome="timeout", count=2), TokenFetched(time_s=1001.0, outcome="success", count=1)]
    state = TokenState(age_s=4.0, fetches={})
    known = {"tick_s": 15.0, "tick_version": A}
    assert strip_of(live, state, *fetches, now_s=3.0, **known)[0] == (
        "token    7 s old, next fetch in 8 s  00:16:41 ok  00:16:40 timeout ×2"
    )
    assert strip_of(live, state, now_s=11.0, **known)[0] == "token    15 s old, next fetch now"
    assert strip_of(live, state, fetches[0], **known)[0] == (
        "token    4 s old, the last fetch failed: it tries again  00:16:40 timeout ×2"
    )
    assert strip_of(live, TokenState(age_s=None, fetches={}), **known)[0] == "token    none yet"


def test_the_tick_of_another_filter_says_nothing():
    state = TokenState(age_s=4.0, fetches={})
    assert strip_of(FilterState(version=B, rejected=0, failed=0), state, tick_s=15.0, tick_version=A)[0] == "token    4 s old"


def test_the_versions_of_the_filter():
    records = (
        FilterState(version=B, rejected=1, failed=0),
        FilterSwapped(time_s=1000.0, version=B, before=A),
        FilterSwapped(time_s=1001.0, version="b" * 64 + "-ffffffffffff", before=B),
        FilterRefused(time_s=1002.0, count=1),
        FilterRefused(time_s=1003.0, count=2),
        FilterSwapped(time_s=1004.0, version=None, before=B),
    )
    assert strip_of(*records)[1] == (
        "filter   bbbbbbbbbbbb  00:16:44 bbbbbbbbbbbb → none  00:16:43 refused 2  00:16:42 refused"
        "  00:16:41 new configuration  00:16:40 aaaaaaaaaaaa → bbbbbbbbbbbb"
    )


@pytest.mark.parametrize(
    ("tap", "shown"),
    [
        (ATTACHED, "every request"),
        (TapState(attached=True, share=1, reason="Envoy compiles"), "every request (Envoy compiles)"),
        (TapState(attached=True, share=16, reason=None), "only one of 16 requests: there are more than Envoy can show"),
        (TapState(attached=False, share=None, reason="Envoy ended"), "NOTHING: Envoy ended"),
    ],
)
def test_which_requests_are_seen(tap, shown):
    assert strip_of(tap)[2] == f"sees     {shown}"


def test_what_is_missing_is_summed_and_says_why():
    lines = strip_of(
        *[Dropped(count=3, because="slow")] * 2,
        Dropped(count=1, because="full"),
        *[Dropped(count=1, because=str(n)) for n in range(99)],
    )
    assert lines[3].startswith("missing  93 because other reasons; 6 because slow; 1 because full")


def test_a_crash_says_where_and_what_follows():
    lines = strip_of(crash(), crash(f"no {TOKEN}"))
    assert lines[3].startswith("crash    panic: no eyJ…(ES256, subject envoy")
    assert lines[3].endswith("(main.go:12)  in proxy_on_request_headers  (crash 2)")
    assert lines[4].startswith("         failure policy FAIL_RELOAD (now): a new VM takes the next request; after another")
    assert TOKEN in strip_of(crash(TOKEN), secrets=True)[3]


# The board


class Terminal:
    """A board in a terminal of a certain size."""

    def __init__(self, count=0, width=100, height=12):
        self.board = Board(Strip())
        self.size = width, height
        self.count = 0
        self.come(count)

    def come(self, count=1):
        for _ in range(count):
            self.board.add(exchange(self.count, path=f"/{self.count}"), 0.0)
            self.count += 1

    def press(self, *keys):
        return all(self.board.press(key) for key in keys)

    @property
    def lines(self):
        lines = self.board.render(*self.size, 0.0)
        assert len(lines) == self.size[1]
        assert all(line.cell_len <= self.size[0] for line in lines)
        return lines

    @property
    def paths(self):
        return [line.plain.split()[2] for line in self.lines if "GET" in line.plain]

    @property
    def selected(self):
        return [line.plain.split()[2] for line in self.lines if any(span.style == "reverse" for span in line.spans)]

    @property
    def foot(self):
        return self.lines[-1].plain


def test_the_newest_exchanges_are_shown():
    terminal = Terminal(3)
    assert terminal.paths == ["/0", "/1", "/2"]
    terminal.come(100)
    assert terminal.paths == [f"/{number}" for number in range(97, 103)]
    assert terminal.selected == []


@pytest.mark.parametrize("size", [(1, 1), (10, 3), (40, 8), (300, 100)])
def test_a_terminal_of_any_size(size):
    terminal = Terminal(30, *size)
    terminal.board.add(crash(), 0.0)
    terminal.press("up", "up")
    assert terminal.lines
    terminal.press("enter")
    assert terminal.lines


def test_memory_is_bounded():
    terminal = Terminal(MAX_ROWS + 50)
    terminal.press("p")
    terminal.come(MAX_ROWS)
    terminal.press("p", "home")
    assert len(terminal.board._rows) == MAX_ROWS
    assert terminal.selected == [f"/{MAX_ROWS + 50}"]


@pytest.mark.parametrize("key", ["p", " "])
def test_a_pause(key):
    terminal = Terminal(3)
    terminal.press(key)
    terminal.come(2)
    assert terminal.paths == ["/0", "/1", "/2"]
    assert terminal.foot.startswith("PAUSED 2 more since")
    terminal.press(key)
    assert terminal.paths == ["/0", "/1", "/2", "/3", "/4"]
    assert "PAUSED" not in terminal.foot


def test_an_exchange_that_is_settled_later_keeps_its_row():
    terminal = Terminal(1)
    undecided = exchange(7, path="/crash", status=503, answered_by=None, trapped=None, response=None)
    settled = exchange(7, path="/crash", status=503, answered_by="envoy", trapped=True, details="wasm_fail_stream", response=None)
    terminal.board.add(undecided, 0.0)
    terminal.come(2)
    assert "crashed" in terminal.lines[2].plain
    terminal.press("p")
    terminal.board.add(settled, 0.0)
    assert "TRAPPED" in terminal.lines[2].plain
    terminal.press("p")
    assert "TRAPPED" in terminal.lines[2].plain
    assert len(terminal.paths) == 4
    terminal.board.add(undecided, 0.0)
    terminal.press("c")
    terminal.board.add(settled, 0.0)
    assert terminal.paths == ["/crash"]


def test_a_row_that_is_gone_is_not_settled():
    terminal = Terminal()
    undecided = exchange(5000, answered_by=None, trapped=None)
    terminal.board.add(undecided, 0.0)
    terminal.come(MAX_ROWS)
    terminal.board.add(undecided, 0.0)
    assert "/a" not in terminal.paths


def test_clearing():
    terminal = Terminal(3)
    terminal.board.add(Dropped(count=1, because="full"), 0.0)
    terminal.press("up", "c")
    assert terminal.paths == []
    assert "missing" not in "".join(line.plain for line in terminal.lines)
    terminal.come()
    assert terminal.paths == ["/3"]
    terminal.press("p", "c")
    terminal.come(2)
    assert (terminal.paths, terminal.foot[:19]) == ([], "PAUSED 2 more since")


def test_selecting_holds_the_table_still():
    terminal = Terminal(20)
    terminal.press("up")
    assert terminal.selected == ["/19"]
    terminal.press("k", "k")
    terminal.come(5)
    assert terminal.paths == [f"/{number}" for number in range(14, 20)]
    assert terminal.selected == ["/17"]
    assert terminal.foot.startswith("5 newer below (end)")
    terminal.press(*["up"] * 6)
    assert (terminal.paths[0], terminal.selected) == ("/11", ["/11"])
    terminal.press("end")
    assert (terminal.paths[-1], terminal.selected) == ("/24", [])


def test_down_from_the_newest_follows_again():
    terminal = Terminal(3)
    terminal.press("down")
    assert terminal.selected == []
    terminal.press("up", "up", "down")
    assert terminal.selected == ["/2"]
    terminal.press("j")
    assert terminal.selected == []


def test_what_is_selected_can_grow_too_old():
    terminal = Terminal(MAX_ROWS)
    terminal.press("home")
    terminal.come(10)
    assert terminal.selected == ["/10"]


def test_opening_one_and_going_back():
    terminal = Terminal(3)
    terminal.press("up", "up", "enter")
    assert "/1" in terminal.lines[0].plain
    terminal.come()
    assert "/1" in terminal.lines[0].plain
    assert terminal.foot.startswith("↑↓ scroll  esc back")
    assert terminal.press("q")
    assert terminal.selected == ["/1"]
    assert terminal.press("esc")
    assert terminal.selected == []
    assert not terminal.press("esc")


def test_opening_without_a_selection_opens_the_newest_and_nothing_where_there_is_none():
    terminal = Terminal(3)
    terminal.press("enter")
    assert "/2" in terminal.lines[0].plain
    empty = Terminal()
    empty.press("up", "down", "enter", "x", "pageup")
    assert empty.lines[0].plain.startswith("TIME")


def test_a_long_page_scrolls_and_its_lines_are_folded():
    terminal = Terminal(width=40, height=10)
    terminal.board.add(exchange(response=make_way((), tuple((f"x-{number}", "v" * 50) for number in range(20)))), 0.0)
    terminal.press("enter")
    top = terminal.lines
    terminal.press("down")
    assert terminal.lines[0].plain == top[1].plain
    terminal.press("pagedown", "home")
    assert [line.plain for line in terminal.lines] == [line.plain for line in top]
    for _ in range(20):
        terminal.press("pagedown")
        last = terminal.lines
    assert last[-2].plain.endswith("vvv")
    assert "more lines" not in last[-1].plain


def test_q_ends_it():
    assert not Terminal(3).press("q")
    terminal = Terminal(3)
    terminal.press("up")
    assert not terminal.press("q")


# Line by line


def talk_of(*records):
    talk = Talk(secrets=False)
    return [text.plain for record in records if (text := talk.render(record))]


def test_what_is_as_it_should_be_is_not_talked_about():
    good = TokenFetched(time_s=0.0, outcome="success", count=1)
    slow = TapState(attached=True, share=1, reason="Envoy does not answer")
    assert (
        talk_of(ATTACHED, slow, ATTACHED, FilterState(version=A, rejected=0, failed=0), TokenState(age_s=1, fetches={}), good)
        == []
    )


def test_what_is_not_is():
    gone = TapState(attached=False, share=None, reason="Envoy ended")
    few = TapState(attached=True, share=16, reason=None)
    slow = TapState(attached=True, share=1, reason="Envoy does not answer")
    assert talk_of(ATTACHED, gone, slow, ATTACHED, few, ATTACHED) == [
        "! seen now: NOTHING: Envoy ended",
        "! seen now: every request",
        "! seen now: only one of 16 requests: there are more than Envoy can show",
        "! seen now: every request",
    ]
    assert talk_of(
        TokenFetched(time_s=0.0, outcome="timeout", count=1),
        FilterSwapped(time_s=0.0, version=B, before=A),
        FilterRefused(time_s=0.0, count=1),
    ) == [
        "! fetching the token: 00:00:00 timeout",
        "! filter: 00:00:00 aaaaaaaaaaaa → bbbbbbbbbbbb",
        "! filter: 00:00:00 refused",
    ]


def test_what_is_missing_is_talked_about_once_a_second():
    talk = Talk(secrets=False)
    told = []
    for tenth in range(21):
        assert talk.render(Dropped(count=1, because="slow")) is None
        told += [text.plain for text in talk.sum_up(tenth / 10)]
    assert told == [f"! {count} missing here: slow" for count in (1, 10, 10)]
    assert talk.sum_up(99.0) == []


def test_a_crash_is_talked_about_in_full_and_once():
    shown = talk_of(crash(), crash(), crash("another"), crash())
    assert len(shown) == 3
    assert "main.go:12" in shown[0]
    assert "failure policy FAIL_RELOAD" in shown[0]


def test_an_exchange_is_the_record_of_the_schema():
    seen = exchange(request=make_way(REQUEST, None), response=None, details="x")
    value = json.loads(json.dumps(Documents(secrets=False).make(seen)))
    jsonschema_rs.validate(SCHEMA, value)
    assert set(value) == set(SCHEMA["properties"])
    assert "event" not in value


def test_all_else_has_its_name():
    documents = Documents(secrets=False)
    records = (
        ATTACHED,
        FilterState(version=A, rejected=0, failed=0),
        TokenState(age_s=1, fetches={"success": 1}),
        TokenState(age_s=2, fetches={"success": 1}),
        TokenState(age_s=0, fetches={"success": 2}),
        TokenFetched(time_s=0.0, outcome="success", count=1),
        FilterSwapped(time_s=0.0, version=B, before=A),
        FilterRefused(time_s=0.0, count=1),
        Dropped(count=1, because="slow"),
        crash(TOKEN),
    )
    values = [documents.make(record) for record in records]
    assert [value and value["event"] for value in values] == [
        "tap",
        "filter",
        "token",
        None,
        "token",
        "fetched",
        "swapped",
        "refused",
        "dropped",
        "crash",
    ]
    assert values[0] == {"event": "tap", "attached": True, "share": 1, "reason": None}
    assert values[-1]["panic"]["policy"] == "FAIL_RELOAD"
    assert TOKEN not in json.dumps(values)
    assert TOKEN in json.dumps(Documents(secrets=True).make(crash(TOKEN)))
