"""Following the taps before a stand-in for Envoy: who comes, who leaves, and what goes wrong meanwhile."""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator, MutableMapping
from contextlib import aclosing, asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect
from viewing import Reading

from sandbox.console import exchanges
from sandbox.console.app import create_app
from sandbox.console.clients import open_clients
from sandbox.console.exchanges import BUG, Exchanges
from sandbox.console.settings import Settings
from sandbox.envoy import admin
from sandbox.envoy.admin import AdminClient, AdminError

ATTACHED = {"attached": True, "share": 1, "reason": None}


class Admin(AdminClient):
    """Counts requests and writes what taps do, one attachment at a time, which takes a moment to end."""

    def __init__(self) -> None:
        self.counted = 0
        self.active = 0
        self.attached = 0
        self.attachments = 0
        self.detached = asyncio.Event()
        self.wrong: list[BaseException] = []
        self.suffix = ""
        self.answers = asyncio.Event()
        self.answers.set()
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue()

    async def read(self, path: str, **_: Any) -> bytes:
        assert path == "/stats"
        await self.answers.wait()
        if self.wrong:
            raise self.wrong.pop()
        stats = {admin.INGRESS_REQUESTS: self.counted, admin.INGRESS_ACTIVE: self.active}
        return json.dumps({"stats": [{"name": name, "value": value} for name, value in stats.items()]}).encode()

    @asynccontextmanager
    async def tap(self, *, id_suffix: str) -> AsyncGenerator[AsyncIterator[bytes]]:
        assert not self.attached, "Envoy has one such stream at a time"
        self.attached, self.attachments, self._chunks = 1, self.attachments + 1, asyncio.Queue()
        self.suffix = id_suffix
        try:
            yield self._read()
        finally:
            await asyncio.sleep(0.05)
            self.attached = 0
            self.detached.set()

    async def _read(self) -> AsyncIterator[bytes]:
        while chunk := await self._chunks.get():
            yield chunk

    def ask(self, path: str, *, answered: bool = True) -> None:
        """Let a request come through."""
        self.counted += 1
        for kind, header in [("request", (":path", path))] * 2 + [("response", (":status", "200"))] * 2 * answered:
            headers = {"headers": [{"key": header[0], "value": header[1]}]}
            segment = {"http_streamed_trace_segment": {"trace_id": f"{self.counted}", f"{kind}_headers": headers}}
            self._chunks.put_nowait(json.dumps(segment, indent=1).encode() + b"\n")

    def end(self) -> None:
        """Break off."""
        self._chunks.put_nowait(b"")


@pytest.fixture(autouse=True)
def ends_clean(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No task is left to the garbage collector, and no exception in one, of which asyncio would write."""
    monkeypatch.setattr(exchanges, "PAUSE_S", 0.01)
    yield
    gc.collect()
    assert [record.message for record in caplog.get_records("call") if record.name == "asyncio"] == []


def run(case: Callable[[Admin, Exchanges], Coroutine[Any, Any, None]]) -> Admin:
    """Run it to its end, after which nothing else may run."""

    async def whole() -> Admin:
        client = Admin()
        async with asyncio.timeout(10):
            await case(client, Exchanges(client))
            assert asyncio.all_tasks() == {asyncio.current_task()}
        assert not client.attached
        return client

    return asyncio.run(whole())


@asynccontextmanager
async def watching(exchanges: Exchanges, *, since_s: float | None = None) -> AsyncGenerator[Reading]:
    async with exchanges.watch(since_s=since_s, secrets=False) as viewer:
        reading = Reading(viewer)
        async with aclosing(reading.texts):
            yield reading


def test_what_comes_is_told_to_all() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as one:
            await one.until("tap", **ATTACHED)
            async with watching(exchanges) as other:
                await other.until("tap", **ATTACHED)
                client.ask("/a")
                assert await one.until("exchange", path="/a") == await other.until("exchange", path="/a")
            client.ask("/b")
            await one.until("exchange", path="/b")
            assert (await one.until("token"))["age_s"] is None
            async with watching(exchanges, since_s=0.0) as late:
                await late.until("exchange", path="/b")
                names = [name for name, _ in late.told]
                assert names == ["tap", "filter", "token", "exchange", "exchange"]
                assert late.of("tap") == [ATTACHED]

    assert run(case).attachments == 1


def test_a_bug_blinds_nobody_for_good(caplog: pytest.LogCaptureFixture) -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.wrong = [ValueError("of\nAuthorization: Bearer abcdefghijklmnop")]
            await viewer.until("tap", attached=False, share=None, reason=BUG)
            await viewer.until("tap", **ATTACHED)
            client.ask("/after")
            await viewer.until("exchange", path="/after")

    assert run(case).attachments == 2
    [record] = [record for record in caplog.records if record.name == "sandbox.console.exchanges"]
    assert record.levelno == logging.ERROR
    assert "ValueError" in record.message
    assert "attachment.py" in record.message
    assert "abcdefghijklmnop" not in record.message


def test_who_comes_while_there_is_a_bug_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchanges, "PAUSE_S", 60.0)

    async def case(client: Admin, exchanges: Exchanges) -> None:
        client.wrong = [ValueError()]
        async with watching(exchanges) as viewer:
            await viewer.until("tap", reason=BUG)
            async with watching(exchanges) as late:
                assert (await late.until("tap"))["attached"] is False

    run(case)


def test_envoy_comes_and_goes() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        client.wrong = [AdminError("Envoy is not there")] * 2
        async with watching(exchanges) as viewer:
            assert await viewer.until("tap") == {"attached": False, "share": None, "reason": "Envoy is not there"}
            await viewer.until("tap", **ATTACHED)
            client.ask("/open", answered=False)
            client.end()
            await viewer.until("tap", attached=False, reason="Envoy ended")
            await viewer.until("tap", **ATTACHED)
            assert [one["count"] for one in viewer.of("dropped")] == [1]

    run(case)


def missing(reading: Reading) -> int:
    return sum(one["count"] for one in reading.of("dropped"))


def test_each_request_is_seen_or_dropped_when_there_are_too_many() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            for number in range(5):
                client.ask(f"/{number}")
            await viewer.until("exchange", path="/4")
            client.ask("/open", answered=False)
            client.counted += 30_000
            await viewer.until("tap", attached=True, share=16)
            client.counted += 10
            while missing(viewer) + 5 < client.counted:
                await viewer.until("dropped")
            assert missing(viewer) + 5 == client.counted
            assert client.suffix == "0"

    run(case)


def test_each_request_is_seen_or_dropped_when_envoy_is_choked() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            await viewer.until("filter")
            client.counted += 40  # not seen yet when Envoy is last asked
            await asyncio.sleep(0.15)
            client.answers.clear()
            for number in range(100):
                client.ask(f"/{number}", answered=number > 0)
            reason = (await viewer.until("tap", attached=True))["reason"]
            assert reason.startswith("Envoy does not answer")
            await client.detached.wait()
            client.counted += 7
            client.answers.set()
            while missing(viewer) + 99 < client.counted:
                await viewer.until("dropped")
            assert missing(viewer) + len(viewer.of("exchange")) == client.counted == 147

    run(case)


def test_a_silent_envoy_that_was_shown_little_compiles_a_filter() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.answers.clear()
            client.ask("/a")
            await viewer.until("exchange", path="/a")
            while viewer.of("tap")[-1]["reason"] is None:
                await viewer.until("tap")
            client.answers.set()
            await viewer.until("tap", **ATTACHED)

    assert run(case).attachments == 1


def test_what_is_still_open_when_envoy_is_idle_is_told() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.ask("/left", answered=False)
            assert (await viewer.until("exchange", path="/left"))["response"] is None

    run(case)


def test_a_reader_that_is_dead_is_started_anew() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.wrong = [asyncio.CancelledError()]
            await client.detached.wait()
            async with watching(exchanges) as late:
                await late.until("tap", **ATTACHED)
                client.ask("/again")
                await late.until("exchange", path="/again")
                await viewer.until("exchange", path="/again")

    assert run(case).attachments == 2


def test_the_last_leaves_and_the_next_comes_at_once() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.ask("/open", answered=False)

        async def come(path: str) -> Reading:
            async with watching(exchanges) as viewer:
                await viewer.until("tap", **ATTACHED)
                client.ask(path)
                await viewer.until("exchange", path=path)
            return viewer

        for _ in range(3):
            readings = await asyncio.gather(come("/a"), come("/b"), come("/c"))
            for reading in readings:
                assert reading.of("dropped") == []
                assert {told["attached"] for told in reading.of("tap")} == {True}

    run(case)


def test_who_comes_while_the_taps_are_detached() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        over = asyncio.Event()

        async def leave() -> None:
            async with watching(exchanges) as viewer:
                await viewer.until("tap", **ATTACHED)
                client.ask("/open", answered=False)
                await asyncio.sleep(0.01)
                over.set()

        leaving = asyncio.create_task(leave())
        await over.wait()
        await asyncio.sleep(0.01)
        assert client.attached
        assert not leaving.done()
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
            client.ask("/seen")
            await viewer.until("exchange", path="/seen")
            assert viewer.of("dropped") == []
        await leaving

    assert run(case).attachments == 2


def test_a_viewer_that_is_cancelled_leaves() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async def stay() -> None:
            async with watching(exchanges) as viewer:
                await viewer.until("never")

        for seconds in (0.0, 0.01, 0.04, 0.2):  # before it is attached, and afterwards
            staying = asyncio.create_task(stay())
            await asyncio.sleep(seconds)
            staying.cancel()
            await asyncio.wait({staying})
            assert staying.cancelled()
            assert not client.attached

    run(case)


def test_a_viewer_whose_leaving_is_cut_short() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        async def stay() -> None:
            async with watching(exchanges) as viewer:
                await viewer.until("never")

        staying = asyncio.create_task(stay())
        await asyncio.sleep(0.1)
        for _ in range(3):  # as anyio does
            staying.cancel()
            await asyncio.sleep(0)
        await asyncio.wait({staying})
        assert client.attached
        async with watching(exchanges) as viewer:
            await viewer.until("tap", **ATTACHED)
        await exchanges.close()

    run(case)


def test_the_end_of_the_console_ends_the_reader() -> None:
    async def case(_: Admin, __: Exchanges) -> None:
        app = FastAPI()
        app.state.settings = Settings(admin_socket="nowhere.sock")
        async with open_clients(app):
            watch = app.state.exchanges.watch(since_s=None, secrets=False)
            viewer = await watch.__aenter__()
            reading = Reading(viewer)
            assert (await reading.until("tap"))["attached"] is False
        assert asyncio.all_tasks() == {asyncio.current_task()}
        await reading.texts.aclose()
        await watch.__aexit__(None, None, None)

    run(case)


def test_a_client_that_goes_away_while_it_is_written_to() -> None:
    async def case(client: Admin, exchanges: Exchanges) -> None:
        app = create_app(Settings())
        app.state.exchanges = exchanges

        async def receive() -> MutableMapping[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.body":
                raise OSError

        scope = {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "GET",
            "scheme": "http",
            "path": "/api/exchanges",
            "raw_path": b"/api/exchanges",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"localhost")],
        }
        gc.disable()
        try:
            with pytest.raises(ClientDisconnect):
                await app(scope, receive, send)
            assert not client.attached
            assert asyncio.all_tasks() == {asyncio.current_task()}
        finally:
            gc.enable()

    assert run(case).attachments == 1
