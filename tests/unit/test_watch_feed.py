import contextlib
import threading
from types import SimpleNamespace

import pytest
from exchanges import exchange

from sandbox.errors import StackError
from sandbox.events.stack import LogRecord
from sandbox.events.watch import Dropped, FilterRefused, FilterState, FilterSwapped, TapState, TokenFetched, TokenState
from sandbox.observe.access import Access, needs_log
from sandbox.observe.exchange import make_way
from sandbox.session.watch import feed as module
from sandbox.session.watch.choice import make_choice
from sandbox.session.watch.feed import NO_CONSOLE, OVERLAP_S, Feed
from sandbox.session.watch.happened import States
from sandbox.session.watch.settling import PATIENCE_S, Found, Settling, Undecided, look_up
from sandbox.session.watch.waiting import MAX_WAITING, SLOW, Waiting

ATTACHED = TapState(attached=True, share=1, reason=None)
BARE = make_way(((":status", "503"),), ((":status", "503"),))


def open_one(number=0, **fields):
    return exchange(number, **{"answered_by": None, "trapped": None, "status": 503, "response": BARE} | fields)


def access(number=0, **fields):
    values = {"id": f"id-{number}", "status": 503, "details": "wasm_fail_stream", "flags": "", "total_us": 1, "upstream_us": None}
    return Access(**values | fields)


def token(**fetches):
    return TokenState(age_s=1.0, fetches=fetches)


def happened(*states):
    found = States()
    return [event for time_s, state in enumerate(states) for event in found.feed(state, float(time_s))]


def test_the_first_states_are_where_it_begins():
    assert happened(FilterState(version="a", rejected=3, failed=1), token(success=7)) == []


def test_what_is_counted_more_has_happened():
    assert happened(token(success=1), token(success=1, timeout=2), token(success=2, timeout=2)) == [
        TokenFetched(time_s=1.0, outcome="timeout", count=2),
        TokenFetched(time_s=2.0, outcome="success", count=1),
    ]


def test_a_new_envoy_counts_anew():
    assert happened(token(success=5, timeout=1), token(success=1, timeout=0)) == [
        TokenFetched(time_s=1.0, outcome="success", count=1)
    ]


def test_the_filters_versions_and_refusals():
    states = [("a", 0, 0), ("b", 0, 0), ("b", 1, 2), (None, None, None), ("b", 0, 0)]
    assert happened(
        *(FilterState(version=version, rejected=rejected, failed=failed) for version, rejected, failed in states)
    ) == [
        FilterSwapped(time_s=1.0, version="b", before="a"),
        FilterRefused(time_s=2.0, count=3),
        FilterSwapped(time_s=3.0, version=None, before="b"),
        FilterSwapped(time_s=4.0, version="b", before=None),
    ]


def test_who_is_slow_loses_the_oldest_and_is_told_how_many():
    waiting = Waiting()
    waiting.put(ATTACHED)
    waiting.put(Dropped(count=7, because="earlier"))
    for number in range(MAX_WAITING):
        waiting.put(exchange(number))
    first, *rest = waiting.take(0.0)
    assert first == Dropped(count=7, because=SLOW)
    assert len(rest) == MAX_WAITING
    waiting.put(exchange())
    assert waiting.take(0.0) == [exchange()]


def test_all_that_came_is_taken_before_the_end():
    waiting = Waiting()
    waiting.put(ATTACHED)
    waiting.end(StackError("the end"))
    assert waiting.take(0.0) == [ATTACHED]
    with pytest.raises(StackError, match="the end"):
        waiting.take(10.0)


@pytest.mark.parametrize(
    ("fields", "is_it"),
    [
        ({}, True),
        ({"trapped": False}, True),
        ({"trapped": False, "answered_by": "envoy"}, True),
        ({"trapped": False, "answered_by": "envoy", "details": "route_not_found"}, False),
        ({"trapped": False, "answered_by": "upstream"}, False),
        ({"trapped": False, "answered_by": "filter"}, False),
    ],
)
def test_what_envoys_log_is_asked_for(fields, is_it):
    assert needs_log(open_one(**fields)) is is_it


def test_exchanges_are_settled_by_their_id():
    undecided = Undecided()
    undecided.add(open_one(1), 0.0)
    undecided.add(open_one(2), 0.0)
    undecided.add(open_one(3, time_s=5.0), 0.0)
    assert undecided.since_s == 5.0
    first, second = undecided.settle([access(2), access(1, details="")], 0.1)
    assert (first.id, first.trapped, first.answered_by) == ("id-1", False, "filter")
    assert (second.id, second.trapped, second.answered_by) == ("id-2", True, "envoy")
    assert undecided.settle([], PATIENCE_S) == []
    assert undecided.settle([], PATIENCE_S + 0.1) == [open_one(3, time_s=5.0)]
    assert undecided.since_s is None


def test_what_has_no_id_is_settled_in_turn():
    undecided = Undecided()
    for _ in range(2):
        undecided.add(open_one(id="", status=400), 0.0)
    found = undecided.settle([access(id="", status=400, details="one"), access(id="", status=400, details="two")], 0.1)
    assert [settled.details for settled in found] == ["one", "two"]


def test_an_id_that_a_client_used_twice_or_the_filter_changed():
    undecided = Undecided()
    undecided.add(open_one(1), 0.0)
    undecided.add(open_one(2, request=make_way((), (("x-request-id", "other"),))), 0.0)
    found = undecided.settle([access(1, status=200, details="via_upstream"), access(1), access(id="other")], 0.1)
    assert [settled.trapped for settled in found] == [True, True]


TRAP = '{"lvl":"critical","logger":"wasm","tid":"7","msg":"Function: proxy_on_request_headers failed: Uncaught x"}'
ACCESS = '{"access":"ingress","id":"id-1","status":503,"details":"wasm_fail_stream"}'


class Engine:
    def __init__(self, lines):
        self.lines = lines
        self.phases = ["running"]

    def logs(self, *, matching, **_):
        records = (LogRecord(time_s=2000.0, service="envoy", line=line) for line in self.lines)
        return filter(matching, records)

    def find(self):
        phase = self.phases.pop(0) if len(self.phases) > 1 else self.phases[0]
        return SimpleNamespace(phase=phase, labels=None)


def make_context(tmp_path, lines=()):
    filter_yaml = tmp_path / "filter.yaml"
    filter_yaml.write_text("resources: [{typed_config: {config: {failure_policy: FAIL_OPEN}}}]")
    return SimpleNamespace(
        engine=Engine(lines),
        state=SimpleNamespace(run=tmp_path / "run", mounts=tmp_path / "mounts"),
        project=SimpleNamespace(filter_yaml=filter_yaml),
    )


def test_the_log_has_requests_and_crashes_with_the_policy(tmp_path):
    found = look_up(make_context(tmp_path, ["else", ACCESS, ACCESS.replace("id-1", "id-2"), TRAP]), frozenset({"id-1"}), 0.0)
    assert [(each.id, each.details) for each in found.accesses] == [("id-1", "wasm_fail_stream")]
    [crash] = found.crashes
    assert (crash.panic.callback, crash.policy) == ("proxy_on_request_headers", "FAIL_OPEN")


def test_a_crash_is_told_once_and_after_its_request(tmp_path):
    context = make_context(tmp_path, [ACCESS, TRAP])
    told, all_told, stopped = [], threading.Event(), threading.Event()

    def look(ids, since_s):
        return look_up(context, ids, since_s)

    def publish(record):
        told.append(record)
        if len(told) == 3:
            stopped.set()
            all_told.set()
        elif len(told) == 2:
            settling.put(open_one(1))

    settling = Settling(look, publish, begun_s=0.0)
    settling.put(open_one(1))
    thread = threading.Thread(target=settling.run, args=(stopped,))
    thread.start()
    assert all_told.wait(5)
    thread.join(5)
    assert [type(record).__name__ for record in told] == ["Exchange", "Block", "Exchange"]


def tell_of_a_crash(tmp_path, *, begun_s):
    """What is told while no request waits, of two looks that find the same crash."""
    context = make_context(tmp_path, [TRAP])
    told, stopped, looks = [], threading.Event(), []

    def look(ids, since_s):
        looks.append(ids)
        if len(looks) == 2:
            stopped.set()
        found = look_up(context, ids, 0.0)
        assert len(found.crashes) == 1
        return found

    thread = threading.Thread(target=Settling(look, told.append, begun_s=begun_s).run, args=(stopped,))
    thread.start()
    thread.join(10)
    assert looks == [frozenset(), frozenset()]
    return told


def test_a_crash_on_a_tick_is_told_though_no_request_waits(tmp_path):
    [crash] = tell_of_a_crash(tmp_path, begun_s=0.0)
    assert crash.panic.callback == "proxy_on_request_headers"


def test_crashes_before_the_beginning_are_not_told(tmp_path):
    assert tell_of_a_crash(tmp_path, begun_s=9999.0) == []


class Streams:
    """What the console says, one connection after the other; an error is raised where it stands."""

    def __init__(self, *connections):
        self.connections = list(connections)
        self.since = []

    @contextlib.contextmanager
    def open(self, *_, since_s, secrets):
        self.since.append(since_s)
        records = self.connections.pop(0) if self.connections else [StackError("no console")]

        def read():
            for record in records:
                if isinstance(record, Exception):
                    raise record
                yield record

        yield read()


def watch(monkeypatch, tmp_path, streams, *, phases, since_s=None, at_once=False, ending_s=0.05, **options):
    """All that comes until the stack has ended, and why it did."""
    context = make_context(tmp_path)
    context.engine.phases = list(phases)
    monkeypatch.setattr(module, "open_stream", streams.open)
    monkeypatch.setattr(module, "running_stack", lambda _: (SimpleNamespace(labels=None), None))
    monkeypatch.setattr(module, "open_client", lambda _: contextlib.nullcontext())
    monkeypatch.setattr(module, "read_status", lambda *_: None)
    monkeypatch.setattr(module, "RETRY_S", 0.01)
    monkeypatch.setattr(module, "ENDING_S", ending_s)
    seen = []
    with (
        Feed(context, make_choice(**options), since_s=since_s, secrets=False, at_once=at_once) as feed,
        pytest.raises(StackError) as error,
    ):
        while True:
            seen += feed.take(5.0)
    return seen, error.value.message


BROKEN = StackError("broken off")


def test_what_is_told_again_is_not_shown_again(monkeypatch, tmp_path):
    streams = Streams(
        [ATTACHED, exchange(1), exchange(2), BROKEN], [ATTACHED, exchange(1), exchange(2), exchange(3), exchange(3)]
    )
    seen, why = watch(monkeypatch, tmp_path, streams, phases=["running", "stopped"], since_s=900.0)
    lost = TapState(attached=False, share=None, reason=NO_CONSOLE)
    assert seen == [ATTACHED, exchange(1), exchange(2), lost, ATTACHED, exchange(3), exchange(3)]
    assert why == "the stack has ended"
    assert streams.since == [900.0, 1002.0 - OVERLAP_S]


def test_a_new_connection_does_not_reach_back_before_the_first(monkeypatch, tmp_path):
    streams = Streams([ATTACHED, exchange(1), BROKEN], [ATTACHED])
    watch(monkeypatch, tmp_path, streams, phases=["running", "stopped"])
    first, second = streams.since
    assert first is None
    assert second > 1001.0, "the time at which the watching began"


def test_a_console_that_is_away_is_told_once(monkeypatch, tmp_path):
    streams = Streams([ATTACHED, BROKEN])
    seen, why = watch(monkeypatch, tmp_path, streams, phases=["running"] * 5 + ["crashed"])
    assert [record.attached for record in seen] == [True, False]
    assert why == "the stack has crashed"
    assert len(streams.since) == 6


def test_a_stack_that_is_being_ended_has_not_crashed(monkeypatch, tmp_path):
    _, why = watch(monkeypatch, tmp_path, Streams([ATTACHED]), phases=["crashed", "crashed", "stopped"], ending_s=60.0)
    assert why == "the stack has ended"


def test_a_console_that_never_answers_is_an_error(monkeypatch, tmp_path):
    seen, why = watch(monkeypatch, tmp_path, Streams(), phases=["running"])
    assert (seen, why) == ([], "no console")


def test_only_what_is_wanted_comes_and_what_happened_to_filter_and_token(monkeypatch, tmp_path):
    stream = [ATTACHED, token(success=1), exchange(1), exchange(2, path="/b"), token(success=2)]
    seen, _ = watch(monkeypatch, tmp_path, Streams(stream), phases=["stopped"], paths=("/b",))
    assert seen[:4] == [ATTACHED, token(success=1), exchange(2, path="/b"), token(success=2)]
    assert (seen[4].outcome, seen[4].count) == ("success", 1)


@pytest.mark.parametrize(("at_once", "count"), [(True, 2), (False, 1)])
def test_what_has_to_be_settled_comes_once_or_at_once_and_again(monkeypatch, tmp_path, at_once, count):
    stream = [ATTACHED, open_one(1), StackError("broken off")]
    monkeypatch.setattr("sandbox.session.watch.settling.FIRST_LOOK_S", 0.0)
    monkeypatch.setattr(module, "look_up", lambda *_: Found((access(1),), ()))
    seen, _ = watch(monkeypatch, tmp_path, Streams(stream), phases=["running"] * 40 + ["stopped"], at_once=at_once)
    exchanges = [record for record in seen if record.__class__.__name__ == "Exchange"]
    assert [exchange.trapped for exchange in exchanges] == [None, True][-count:]
