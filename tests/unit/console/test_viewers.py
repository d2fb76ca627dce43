"""What one viewer gets, in which order, and in how many bytes: without Envoy."""

import asyncio
import json
from dataclasses import asdict
from itertools import takewhile

import pytest
from exchanges import RESPONSE, exchange
from viewing import Told, parse_events

from sandbox.console import holding
from sandbox.console.holding import Kept, Newest, weigh_exchange
from sandbox.console.viewers import (
    AT_ONCE,
    AT_ONCE_BYTES,
    KEPT,
    KEPT_BYTES,
    MAX_WAITING,
    MAX_WAITING_BYTES,
    SLOW,
    Audience,
    Viewer,
)
from sandbox.observe.exchange import Exchange, dump_exchange, make_way

TAP = {"attached": True, "share": 1, "reason": None}


def huge(number: int = 0) -> Exchange:
    headers = ((":path", "/a"), ("x-huge", f"{number}".ljust(56_000, "h")))
    return exchange(number, request=make_way(headers, headers), response=make_way(RESPONSE, RESPONSE))


async def gather(viewer: Viewer) -> list[Told]:
    """All that waits."""
    told: list[Told] = []
    texts = viewer.texts()
    while True:
        try:
            async with asyncio.timeout(0.05):
                told += parse_events(await anext(texts))
        except TimeoutError:
            return told


def read(viewer: Viewer) -> list[Told]:
    """All that waits, for once."""
    return asyncio.run(gather(viewer))


def ids(told: list[Told]) -> list[str]:
    return [data["id"] for name, data in told if name == "exchange"]


def test_a_slow_viewer_loses_the_oldest_and_no_state() -> None:
    audience, viewer = Audience(), Viewer(secrets=False)
    audience.join(viewer, since_s=None)
    audience.drop(5000, "an attachment ended")
    audience.tell("tap", TAP | {"share": 16})
    audience.tell("filter", {"version": "1"})
    for number in range(MAX_WAITING + 500):
        audience.show(exchange(number))
    audience.drop(2, "an attachment ended")
    audience.drop(0, "nothing")
    audience.tell("tap", TAP)
    told = read(viewer)
    states, missing = told[:2], told[2:4]
    assert states == [("tap", TAP), ("filter", {"version": "1"})]
    assert missing == [
        ("dropped", {"count": 5002, "because": "an attachment ended"}),
        ("dropped", {"count": 500, "because": SLOW}),
    ]
    assert ids(told) == [f"id-{number}" for number in range(500, MAX_WAITING + 500)]
    assert len(told) == 4 + MAX_WAITING


def test_who_comes_late_gets_states_first_and_all_that_is_kept() -> None:
    audience, late, fresh = Audience(), Viewer(secrets=False), Viewer(secrets=False)
    audience.tell("tap", TAP)
    audience.tell("token", {"age_s": None, "fetches": {}})
    for number in range(KEPT + 10):
        audience.show(exchange(number))
    audience.join(late, since_s=0.0)
    audience.join(fresh, since_s=None)
    told = read(late)
    assert [name for name, _ in takewhile(lambda one: one[0] != "exchange", told)] == ["tap", "token"]
    assert ids(told) == [f"id-{number}" for number in range(10, KEPT + 10)]
    assert [name for name, _ in read(fresh)] == ["tap", "token"]
    since = Viewer(secrets=False)
    audience.join(since, since_s=1000.0 + KEPT)
    assert ids(read(since)) == [f"id-{number}" for number in range(KEPT, KEPT + 10)]


def test_a_state_is_told_when_it_is_another_one() -> None:
    async def case() -> None:
        audience, viewer = Audience(), Viewer(secrets=False)
        audience.join(viewer, since_s=None)
        audience.tell("tap", TAP)
        assert await gather(viewer) == [("tap", TAP)]
        audience.tell("tap", dict(TAP))
        assert await gather(viewer) == []
        audience.forget_states()
        audience.tell("tap", TAP)
        assert await gather(viewer) == [("tap", TAP)]

    asyncio.run(case())


def test_who_left_is_told_nothing() -> None:
    audience, viewer = Audience(), Viewer(secrets=False)
    audience.join(viewer, since_s=None)
    audience.leave(viewer)
    audience.leave(viewer)
    audience.show(exchange())
    audience.tell("tap", TAP)
    audience.drop(1, "nobody")
    assert len(audience) == 0
    assert read(viewer) == []


def test_huge_headers_take_so_many_bytes_at_most() -> None:
    audience, viewer, late = Audience(), Viewer(secrets=False), Viewer(secrets=True)
    audience.join(viewer, since_s=None)
    for number in range(1000):
        audience.show(huge(number))
        assert audience.kept_bytes <= KEPT_BYTES
        assert viewer.waiting_bytes <= MAX_WAITING_BYTES
    each = weigh_exchange(huge())
    assert 2 * 56_000 < each < 2 * 56_000 + 4000
    audience.join(late, since_s=0.0)
    assert late.waiting_bytes == audience.kept_bytes == KEPT_BYTES // each * each
    told = read(viewer)
    here = MAX_WAITING_BYTES // each
    assert told[0] == ("dropped", {"count": 1000 - here, "because": SLOW})
    assert ids(told) == [f"id-{number}" for number in range(1000 - here, 1000)]
    assert viewer.waiting_bytes == 0


def test_some_at_a_time() -> None:
    async def read_sizes(exchanges: list[Exchange]) -> list[int]:
        viewer = Viewer(secrets=False)
        for one in exchanges:
            viewer.put(Kept(one).tell())
        sizes, texts = [], viewer.texts()
        while sum(sizes) < len(exchanges):
            text = await anext(texts)
            assert len(text) < AT_ONCE_BYTES + 120_000
            sizes.append(len(parse_events(text)))
        return sizes

    assert asyncio.run(read_sizes([exchange(number) for number in range(AT_ONCE * 2 + 1)])) == [AT_ONCE, AT_ONCE, 1]
    assert max(asyncio.run(read_sizes([huge(number) for number in range(AT_ONCE)]))) < AT_ONCE / 4


def test_a_text_is_made_once_for_all_and_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    dump = holding.dump
    monkeypatch.setattr(holding, "dump", lambda one: made.append(one.id) or dump(one))
    audience, viewers = Audience(), [Viewer(secrets=secrets) for secrets in (False, True, False, True)]
    for viewer in viewers:
        audience.join(viewer, since_s=None)
    audience.show(exchange())
    for viewer in viewers:
        assert ids(read(viewer)) == ["id-0"]
    assert made == ["id-0"] * 2
    late = Viewer(secrets=False)
    audience.join(late, since_s=0.0)
    assert ids(read(late)) == ["id-0"]
    assert made == ["id-0"] * 3


def test_one_that_is_larger_than_the_bound_is_still_told() -> None:
    newest: Newest[Kept] = Newest(max_count=3, max_bytes=10)
    assert [newest.put(Kept(exchange(number))) for number in range(3)] == [0, 1, 1]
    assert [kept.exchange.id for kept in newest] == ["id-2"]
    newest.take()
    assert (len(newest), newest.size_bytes) == (0, 0)


def test_a_long_silence_is_filled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sandbox.console.viewers.PING_S", 0.01)

    async def first() -> bytes:
        return await anext(Viewer(secrets=False).texts())

    assert asyncio.run(first()).startswith(b":")


@pytest.mark.parametrize("text", ["a", "é\u2028\x85\x1c", "\ud800", "\x7f\r\n\0"])
def test_what_is_told_is_the_record_on_one_line(text: str) -> None:
    headers = ((":path", text), (text, text))
    for one in (exchange(path=text, request=make_way(headers, headers[:1])), exchange(response=None, status=None)):
        dumped = holding.dump(one)
        assert dumped.isascii()
        assert len(dumped.splitlines()) == 1
        assert json.loads(dumped) == json.loads(dump_exchange(one)) == json.loads(json.dumps(asdict(one)))
