"""What Envoy's taps really wrote, replayed through the parsers: tests/fixtures/tap has the bytes, and the table is here."""

import json
import random
from pathlib import Path

import pytest
from exchanges import apply_changes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sandbox.observe.access import parse_access, settle
from sandbox.observe.exchange import dump_exchange, hide_secrets, parse_exchange
from sandbox.observe.headers import Change
from sandbox.observe.tap import MAX_PENDING_BYTES, Assembler, Segment, SegmentReader, parse_segment, weigh

FOLDER = Path(__file__).resolve().parent.parent / "fixtures" / "tap" / "envoy-1.40.0"
CASES = json.loads((FOLDER / "cases.json").read_text())

# Places in what tests/fixtures/tap/record.py sends (TWO) and what its upstream answers.
SENT, TWO, LAST, REQUEST_END = 4, 5, 7, 10
STATUS, ANSWER_TWO, ANSWER_LAST, ANSWER_LENGTH, ANSWER_END = 0, 3, 5, 6, 8
BARE_END = 6  # of a request without headers of its own


def added(name, value, at, **more):
    return Change(kind="added", name=name, after=value, after_index=at, **more)


def removed(name, value, at):
    return Change(kind="removed", name=name, before=value, before_index=at)


def changed(name, before, after, at, to):
    return Change(kind="changed", name=name, before=before, after=after, before_index=at, after_index=to)


def moved(name, value, at, to):
    return Change(kind="moved", name=name, before=value, after=value, before_index=at, after_index=to)


class Want:
    """One exchange: who answered what, whether the filter trapped, and what it changed on both ways.

    `reached`: whether the filter let the request through. `seen`: whether both taps saw an answer, or None for no answer at all.
    `settled`: who answered what, and whether it trapped, with what Envoy's log says; where that says more.
    """

    def __init__(self, by, status, *, on_request=(), on_response=(), trapped=False, reached=True, seen=True, settled=None):
        self.by, self.status, self.trapped, self.reached, self.seen = by, status, trapped, reached, seen
        self.on_request, self.on_response = tuple(on_request), tuple(on_response)
        self.settled = settled or (by, status, trapped)


UPSTREAM = [Want("upstream", 200)]
ENVOY_503 = [Want("envoy", 503)]
CRASH = ("envoy", 503, True)
TRAP = Want(None, 503, trapped=None, reached=False, settled=CRASH)
TRAP_ON_RESPONSE = Want(None, None, trapped=None, seen=False, settled=CRASH)
LEFT = [Want(None, None, seen=None)]
REFUSED = {"reached": False}


def on_request(*changes):
    return [Want("upstream", 200, on_request=changes)]


def on_response(*changes):
    return [Want("upstream", 200, on_response=changes)]


EXPECTED = {
    "plain": UPSTREAM,
    "request-add": on_request(added("x-a", "1", REQUEST_END)),
    "response-add": on_response(added("x-a", "1", ANSWER_END)),
    "request-add-twice": on_request(added("x-a", "1", REQUEST_END), added("x-a", "2", REQUEST_END + 1)),
    "response-add-twice": on_response(added("x-a", "1", ANSWER_END), added("x-a", "2", ANSWER_END + 1)),
    "request-add-existing": on_request(added("x-two", "three", REQUEST_END)),
    "response-add-existing": on_response(added("x-two", "three", ANSWER_END)),
    "request-replace": on_request(changed("x-last", "last", "New", LAST, REQUEST_END - 1)),
    "response-replace": on_response(changed("x-last", "last", "New", ANSWER_LAST, ANSWER_END - 1)),
    "request-replace-two": on_request(removed("x-two", "two", TWO + 1), changed("x-two", "one", "New", TWO, REQUEST_END - 2)),
    "response-replace-two": on_response(
        removed("x-two", "two", ANSWER_TWO + 1), changed("x-two", "one", "New", ANSWER_TWO, ANSWER_END - 2)
    ),
    "request-remove": on_request(removed("x-last", "last", LAST)),
    "response-remove": on_response(removed("x-last", "last", ANSWER_LAST)),
    "request-remove-two": on_request(removed("x-two", "one", TWO), removed("x-two", "two", TWO + 1)),
    "response-remove-two": on_response(removed("x-two", "one", ANSWER_TWO), removed("x-two", "two", ANSWER_TWO + 1)),
    "request-drop": on_request(removed("x-two", "one", TWO)),
    "response-drop": on_response(removed("x-two", "one", ANSWER_TWO)),
    "request-empty": on_request(added("x-a", "", REQUEST_END)),
    "response-empty": on_response(added("x-a", "", ANSWER_END)),
    "request-upper-name": on_request(added("x-upper", "1", REQUEST_END)),
    "response-upper-name": on_response(added("x-upper", "1", ANSWER_END)),
    "request-rename": UPSTREAM,
    "response-rename": UPSTREAM,
    "request-upper-value": on_request(changed("x-last", "last", "LAST", LAST, REQUEST_END - 1)),
    "response-upper-value": on_response(changed("x-last", "last", "LAST", ANSWER_LAST, ANSWER_END - 1)),
    "request-last": on_request(moved("x-two", "one", TWO, REQUEST_END - 2), moved("x-two", "two", TWO + 1, REQUEST_END - 1)),
    "response-last": on_response(
        moved("x-two", "one", ANSWER_TWO, ANSWER_END - 2), moved("x-two", "two", ANSWER_TWO + 1, ANSWER_END - 1)
    ),
    "request-rewrite": UPSTREAM,
    "response-rewrite": UPSTREAM,
    "request-host": on_request(changed(":authority", "example.test", "other.test", 0, 3)),
    "request-path": [Want("upstream", 204, on_request=[changed(":path", "/a", "/empty", 1, 3)])],
    "request-method": on_request(changed(":method", "GET", "PUT", 2, 3)),
    "response-status": [Want("upstream", 418, on_response=[changed(":status", "200", "418", STATUS, STATUS)])],
    "request-body": on_request(removed("content-length", "4", 4)),
    "response-body": on_response(removed("content-length", "7", ANSWER_LENGTH)),
    "request-crlf": [Want("envoy", 503, on_request=[added("x-a", "1\r\nx-b: 2", BARE_END, injects=True)])],
    "response-crlf": on_response(added("x-a", "1\r\nx-b: 2", ANSWER_END, injects=True)),
    "request-nul": [Want("envoy", 503, on_request=[added("x-a", "1\x002", BARE_END, injects=True)])],
    "response-nul": on_response(added("x-a", "1\x002", ANSWER_END, injects=True)),
    "request-latin1": on_request(added("x-a", "caf! !", BARE_END, exact=False)),
    "response-latin1": on_response(added("x-a", "caf! !", ANSWER_END, exact=False)),
    "request-utf8": on_request(added("x-a", "café ☕", BARE_END)),
    "response-utf8": on_response(added("x-a", "café ☕", ANSWER_END)),
    "passed-bytes": UPSTREAM,
    "reply": [Want("filter", 403, **REFUSED)],
    "reply-after-add": [Want("filter", 200, on_response=[added("x-b", "2", 3)], **REFUSED)],
    "reply-forged": [Want("filter", 200, **REFUSED)],
    "reply-101": [Want("filter", 101, **REFUSED)],
    "reply-503-bare": [Want(None, 503, trapped=None, reached=False, settled=("filter", 503, False))],
    "reply-to-body": [Want("filter", 403, **REFUSED)],
    "reply-on-response": [Want(None, None, trapped=None, seen=False, settled=("filter", 502, False))],
    "request-trap": [TRAP, TRAP],
    "request-trap-open": [TRAP, *UPSTREAM],
    "request-trap-closed": [TRAP, TRAP],
    "request-trap-recovers": [TRAP, *on_response(added("x-b", "2", ANSWER_END))],
    "request-trap-after-add": [TRAP, TRAP],
    "request-trap-body": [TRAP],
    "response-trap": [TRAP, TRAP_ON_RESPONSE],
    "response-trap-open": [*UPSTREAM, TRAP_ON_RESPONSE],
    "response-trap-closed": [TRAP, TRAP_ON_RESPONSE],
    "response-trap-recovers": [*on_response(added("x-b", "2", ANSWER_END)), TRAP_ON_RESPONSE],
    "response-trap-after-add": [TRAP_ON_RESPONSE],
    "response-trap-big": [TRAP_ON_RESPONSE],
    "upstream-bare503": [Want("upstream", 503)],
    "upstream-500": [Want("upstream", 500)],
    "upstream-204": [Want("upstream", 204)],
    "upstream-refused": ENVOY_503,
    "upstream-refused-changed": [Want("envoy", 503, on_response=[added("x-b", "2", 3)])],
    "upstream-no-cluster": ENVOY_503,
    "upstream-no-route": [Want("envoy", 404)],
    "upstream-direct": [Want("envoy", 418)],
    "upstream-redirect": [Want("envoy", 301)],
    "upstream-reset": ENVOY_503,
    "upstream-half": UPSTREAM,
    "upstream-timeout": [Want("envoy", 504)],
    "upstream-hints": UPSTREAM,
    "client-leaves": LEFT,
    "client-leaves-upload": LEFT,
    "head": UPSTREAM,
    "options": [Want("envoy", 404, **REFUSED)],
    "keep-alive": UPSTREAM * 2,
    "http10": UPSTREAM,
    "malformed": [Want("envoy", 400, **REFUSED)],
    "malformed-changed": [Want("envoy", 400, **REFUSED)],
    "no-host": [Want("envoy", 400, **REFUSED)],
    "expect": UPSTREAM,
    "upload-chunked": UPSTREAM,
    "upload-big": UPSTREAM,
    "download-chunked": UPSTREAM,
    "trailers-response": UPSTREAM,
    "trailers-http2": UPSTREAM,
    "http2": UPSTREAM,
    "http2-two": UPSTREAM * 2,
    "upgrade": [Want("envoy", 403, **REFUSED)],
    "upgrade-allowed": [Want("upstream", 101)],
    "long-value": on_response(added("x-long", "l" * 9000, ANSWER_END)),
    "refused-filter": [Want(None, 500, trapped=None, reached=False, settled=("envoy", 500, False))],
}
"""By case, in the order in which they are told: what never ends comes last."""

ALONE = {name for name, case in CASES.items() if len(case["logged"]) == 1}
ON_A_BUSY_MACHINE = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
DATA = {name: (FOLDER / f"{name}.json").read_bytes() for name in CASES}
SEGMENTS = {name: tuple(SegmentReader().feed(data)) for name, data in DATA.items()}


def assemble(segments, assembler=None):
    """The exchanges of `segments`; what is left without an answer is given up."""
    assembler = assembler or Assembler()
    done = [exchange for segment in segments if (exchange := assembler.feed(segment, time_s=7.0, now_s=1.0))]
    done += assembler.give_up(begun_before_s=2.0)
    assert assembler.pending == 0
    return done


def feed(chunks):
    reader = SegmentReader()
    return tuple(segment for chunk in chunks for segment in reader.feed(chunk))


def test_every_recording_is_known():
    assert CASES.keys() == EXPECTED.keys() == {path.stem for path in FOLDER.glob("*.json")} - {"cases"}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_filter_did(name):
    got = assemble(SEGMENTS[name])
    for exchange, want in zip(got, EXPECTED[name], strict=True):
        assert (exchange.answered_by, exchange.status, exchange.trapped) == (want.by, want.status, want.trapped)
        assert exchange.request.changes == want.on_request
        assert (exchange.request.after is not None) == want.reached
        assert (exchange.response is not None) == (want.seen is not None)
        assert (exchange.duration_ms is not None) == (want.seen is True)
        if exchange.response:
            assert exchange.response.changes == want.on_response
            assert (exchange.response.after is not None) == want.seen
            assert exchange.response.before[0][0] == ":status"
        for way in (exchange.request, exchange.response):
            if way and way.after is not None:
                assert apply_changes(way.before, way.changes) == way.after
        assert parse_exchange(json.loads(dump_exchange(exchange))) == exchange
        assert hide_secrets(exchange) == exchange


@pytest.mark.parametrize("name", EXPECTED)
def test_what_is_told_of_the_request_is_what_the_log_has(name):
    # A request that Envoy refused before the filters has no headers that could be told.
    told = {(one.id, one.method, one.path) for one in assemble(SEGMENTS[name]) if one.request.before}
    logged = {(line["id"], line["method"], line["path"]) for line in CASES[name]["logged"] if line["id"]}
    if name in {"request-path", "request-method", "request-host"}:  # the log has what the filter made of it
        told, logged = {one[:1] for one in told}, {one[:1] for one in logged}
    assert told == {one for one in logged if name not in {"options", "no-host", "upgrade", "malformed", "malformed-changed"}}


@pytest.mark.parametrize("name", EXPECTED)
def test_what_the_log_says_more(name):
    logged = [parse_access(json.dumps({"access": "ingress", **line})) for line in CASES[name]["logged"]]
    for exchange, want in zip(assemble(SEGMENTS[name]), EXPECTED[name], strict=True):
        if exchange.id:
            [access] = [access for access in logged if access.id == exchange.id]
        else:  # Envoy refused the request before the filters
            [access] = logged
        settled = settle(exchange, access)
        assert (settled.answered_by, settled.status, settled.trapped) == want.settled
        assert settled.details is not None


@pytest.mark.parametrize("name", EXPECTED)
def test_however_the_bytes_are_cut(name):
    data, whole = DATA[name], SEGMENTS[name]
    assert feed(bytes((byte,)) for byte in data) == whole
    source = random.Random(name)
    for _ in range(5):
        cuts = sorted(source.choices(range(len(data) + 1), k=source.randint(1, 40)))
        assert feed(data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)) == whole


def test_a_stream_that_is_joined_late_begins_with_the_next_object():
    data = DATA["response-add"] + DATA["plain"]
    for start in range(len(data)):
        for exchange in assemble(feed([data[start:]])):
            assert exchange.path == "/a"


def traces(names):
    """The segments of several traces; each recording is a trace of its own, however often it is taken."""
    from dataclasses import replace

    return [[replace(one, trace_id=f"{place}") for one in SEGMENTS[name]] for place, name in enumerate(names)]


@ON_A_BUSY_MACHINE
@given(st.lists(st.sampled_from(sorted(ALONE)), max_size=12), st.randoms(use_true_random=False))
def test_in_whatever_way_traces_are_mixed(names, source):
    each = traces(names)
    alone = [exchange for segments in each for exchange in assemble(segments)]
    turns = [place for place, segments in enumerate(each) for _ in segments]
    source.shuffle(turns)
    left = [iter(segments) for segments in each]
    mixed = assemble(next(left[turn]) for turn in turns)
    assert len(mixed) == len(alone) == len(names)
    assert sorted(mixed, key=repr) == sorted(alone, key=repr)


@ON_A_BUSY_MACHINE
@given(st.sampled_from(sorted(EXPECTED)), st.randoms(use_true_random=False), st.integers(1, 30))
def test_damaged_bytes_never_raise(name, source, wounds):
    data = bytearray(DATA[name] + DATA["plain"])
    for _ in range(wounds):
        at = source.randrange(len(data))
        match source.randrange(4):
            case 0:
                data[at] = source.randrange(256)
            case 1:
                del data[at : at + source.randrange(1, 50)]
            case 2:
                data[at:at] = source.randbytes(source.randrange(1, 20))
            case _:
                data[at:at] = data[source.randrange(len(data)) :][: source.randrange(200)]
    for exchange in assemble(feed([bytes(data)])):
        assert parse_exchange(json.loads(dump_exchange(hide_secrets(exchange))))
    whole = SEGMENTS["reply"]
    assert feed([bytes(data), b"\n}\n", DATA["reply"]])[-len(whole) :] == whole  # and what follows is read


@ON_A_BUSY_MACHINE
@given(st.binary() | st.binary().map(lambda data: data.replace(b"0", b"\n}\n")))
def test_any_bytes_never_raise(data):
    assemble(feed([data]))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.sampled_from(["trace_id", "request_headers", "headers", "key", "value"]) | st.text(), inner)
    ),
)
HEADERS = JSON | st.fixed_dictionaries({"headers": JSON | st.lists(JSON | st.fixed_dictionaries({"key": JSON, "value": JSON}))})


@ON_A_BUSY_MACHINE
@given(
    JSON
    | st.fixed_dictionaries(
        {
            "http_streamed_trace_segment": JSON
            | st.fixed_dictionaries({"trace_id": JSON}, optional={"request_headers": HEADERS, "response_headers": HEADERS})
        }
    )
)
def test_any_object_never_raises(value):
    segment = parse_segment(json.dumps(value).encode())
    if segment:
        twice = [segment, segment, *SEGMENTS["plain"]]
        for exchange in assemble(twice):
            assert json.loads(dump_exchange(hide_secrets(exchange)))


def test_objects_that_are_deep_or_long_are_left_out():
    whole = SEGMENTS["plain"]
    for text in (b"[" * 200_000, b'{"a":' * 200_000, b'"' + b"a" * 3_000_000, b"1" * 10_000):
        assert feed([text, b"\n}\n", DATA["plain"]])[-len(whole) :] == whole


def test_a_trace_goes_on_where_another_was_given_up():
    assembler = Assembler()
    request, *_ = SEGMENTS["client-leaves"]
    assert assembler.feed(request, time_s=1.0, now_s=1.0) is None
    assert not assembler.give_up(begun_before_s=0.5)
    [left] = assembler.give_up(begun_before_s=1.5)
    assert (left.response, left.status, left.duration_ms) == (None, None, None)
    [late] = assemble(SEGMENTS["plain"], assembler)
    assert late.status == 200


@pytest.mark.parametrize(
    ("status", "told"), [("204", 204), ("9" * 5000, None), ("1000", None), ("20", None), ("", None), ("٢٠٠", None), ("-12", None)]
)
def test_a_status_has_three_digits(status, told):
    answer = Segment(trace_id="1", kind="response", headers=((":status", status),))
    [exchange] = assemble([Segment(trace_id="1", kind="request", headers=()), answer, answer])
    assert exchange.status == told


def test_requests_without_an_answer_take_so_many_bytes_at_most():
    assembler = Assembler()
    headers = ((":path", "/a"), ("x-huge", "h" * 56_000))
    given_up = []
    for number in range(1000):
        assembler.feed(Segment(trace_id=f"{number}", kind="request", headers=headers), time_s=1.0, now_s=1.0)
        given_up += assembler.give_up(begun_before_s=0.0)
        assert assembler.pending_bytes == assembler.pending * weigh(headers) <= MAX_PENDING_BYTES
    assert assembler.pending == MAX_PENDING_BYTES // weigh(headers)
    assert len(given_up) == 1000 - assembler.pending
    assert len(assembler.give_up(begun_before_s=2.0)) + len(given_up) == 1000
    assert assembler.pending_bytes == 0
    done = assemble(SEGMENTS["plain"], assembler)
    assert (len(done), assembler.pending_bytes) == (1, 0)


def lay_out(trace_id, kind, headers, *, ascii_only):
    """A segment as Envoy writes it."""
    pairs = [{"key": name, "value": value, "raw_value": ""} for name, value in headers]
    trace = {"trace_id": trace_id, f"{kind}_headers": {"headers": pairs}}
    return json.dumps({"http_streamed_trace_segment": trace}, indent=1, ensure_ascii=ascii_only).encode(errors="replace") + b"\n"


PART = (
    st.sampled_from(["", "a", "key", '"key": "', '"value": "', "\\", '\\"', "}", "\n", "\x00", "é", "\u2028", "\n   ]\n  }\n }"])
    | st.text()
)


@ON_A_BUSY_MACHINE
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["1", "18446744073709551615"]) | st.text(),
            st.sampled_from(["request", "response"]),
            st.lists(st.tuples(PART, PART), max_size=4),
            st.booleans(),
        ),
        max_size=4,
    )
)
def test_what_is_read_the_quick_way_is_what_json_says(segments):
    texts = [lay_out(trace_id, kind, headers, ascii_only=ascii_only) for trace_id, kind, headers, ascii_only in segments]
    assert feed([b"".join(texts * 2)]) == tuple(filter(None, map(parse_segment, texts * 2)))


@pytest.mark.parametrize("name", EXPECTED)
def test_recordings_are_read_the_quick_way_as_by_json(name):
    pieces = DATA[name].split(b"\n}\n")[:-1]
    assert SEGMENTS[name] == tuple(filter(None, (parse_segment(piece + b"\n}\n") for piece in pieces)))
    # A part of one is none, with whatever is before it.
    begun = b"".join(piece[: len(piece) // 2] + b"\n}\n" for piece in pieces)
    assert feed([begun]) == ()


def test_what_is_cut_short_after_its_kind_is_left_out():
    start = b'{"http_streamed_trace_segment": {"trace_id": "1", "request_headers": '
    assert parse_segment(start + b"\n}\n") is None
    assert feed([start + b"\n}\n"]) == ()
