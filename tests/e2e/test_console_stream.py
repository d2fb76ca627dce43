"""The console's stream of exchanges, over HTTP as any viewer reads it."""

import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import jsonschema_rs
import pytest
from stacks import Sandbox

from sandbox.workspace import HOME

PATIENCE_S = 30.0


class Viewer:
    """Server-sent events, one after the other."""

    def __init__(self, response: httpx2.Response) -> None:
        self._lines = response.iter_lines()

    def next(self, name: str) -> dict[str, Any]:
        """The next event of that name."""
        end = time.monotonic() + PATIENCE_S
        while time.monotonic() < end:
            line = next(self._lines)
            if line == f"event: {name}":
                return json.loads(next(self._lines).removeprefix("data: "))
        raise AssertionError(f"no {name} within {PATIENCE_S} s")

    def exchange(self, path: str) -> dict[str, Any]:
        """The exchange with that path."""
        while True:
            exchange = self.next("exchange")
            if exchange["path"] == path:
                return exchange


@contextlib.contextmanager
def watching(sandbox: Sandbox, query: str = "", **headers: str) -> Iterator[Viewer]:
    url = f"{sandbox.status()['urls']['console']}/api/exchanges{query}"
    with httpx2.stream("GET", url, headers=headers, timeout=PATIENCE_S, trust_env=False) as response:
        assert response.status_code == 200
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Viewer(response)


def ask(sandbox: Sandbox, path: str) -> httpx2.Response:
    return httpx2.get(sandbox.status()["urls"]["ingress"] + path, trust_env=False)


def changed(way: dict[str, Any]) -> list[tuple[str, str]]:
    return [(change["kind"], change["name"]) for change in way["changes"]]


def test_what_the_filter_did(shared: Sandbox):
    with watching(shared) as viewer:
        assert viewer.next("tap") == {"attached": True, "share": 1, "reason": None}
        answer = ask(shared, "/what?it=did")
        exchange = viewer.exchange("/what?it=did")
    jsonschema_rs.validate(json.loads((HOME / "docs/exchange.schema.json").read_text()), exchange)
    assert exchange["id"] == answer.headers["x-request-id"]
    assert (exchange["method"], exchange["status"], exchange["answered_by"], exchange["trapped"]) == (
        "GET",
        200,
        "upstream",
        False,
    )
    assert 0 < exchange["duration_ms"] < 10_000
    assert abs(time.time() - exchange["time_s"]) < 60
    assert changed(exchange["request"]) == []
    assert changed(exchange["response"]) == [("added", "x-wasm-filter"), ("added", "x-auth")]


def test_tokens_are_for_the_owner_of_the_project_only(shared: Sandbox):
    [secret] = Path(shared.state).rglob("console.token")
    authorization = f"Bearer {secret.read_text()}"
    with watching(shared) as viewer, watching(shared, "?secrets=true", authorization=authorization) as owner:
        viewer.next("tap")
        owner.next("tap")
        token = ask(shared, "/secret").headers["x-auth"]
        assert token.split(".")[2] not in json.dumps(viewer.exchange("/secret"))
        assert ["x-auth", token] in owner.exchange("/secret")["response"]["after"]
    url = f"{shared.status()['urls']['console']}/api/exchanges?secrets=true"
    for headers in ({}, {"authorization": "Bearer wrong"}):
        refused = httpx2.get(url, headers=headers, trust_env=False)
        assert refused.status_code == 401
        assert "seeing tokens in full needs" in refused.json()["error"]


def test_an_earlier_exchange_for_who_asks(shared: Sandbox):
    begin = time.time()
    with watching(shared) as viewer:
        viewer.next("tap")
        ask(shared, "/earlier")
        viewer.exchange("/earlier")
        with watching(shared, f"?since={begin}") as late:
            assert late.exchange("/earlier")["status"] == 200
        with watching(shared) as fresh:
            fresh.next("tap")
            ask(shared, "/later")
            assert fresh.next("exchange")["path"] == "/later"


def test_the_taps_are_attached_while_somebody_watches_only(shared: Sandbox):
    begin = time.time()
    with watching(shared) as viewer:
        viewer.next("tap")
    await_detached(shared)
    ask(shared, "/unseen")
    for _ in range(3):  # the next one attaches anew, and does not see what nobody saw
        with watching(shared, f"?since={begin}") as viewer:
            viewer.next("tap")
            ask(shared, "/seen")
            assert viewer.next("exchange")["path"] == "/seen"
        begin = time.time()


def test_the_stream_outlives_envoy(shared: Sandbox):
    with watching(shared) as viewer:
        viewer.next("tap")
        shared.run("restart", "envoy").expect(0)
        while (state := viewer.next("tap"))["attached"]:
            pass  # it is told of an Envoy that is slow to answer, or to end
        assert state["share"] is None
        assert state["reason"].startswith("Envoy")
        while not state["attached"]:
            state = viewer.next("tap")
        ask(shared, "/after")
        assert viewer.exchange("/after")["status"] == 200


def test_filter_and_token_are_told_at_once(shared: Sandbox):
    with watching(shared) as viewer:
        assert viewer.next("filter") == {"version": shared_version(shared), "rejected": 0, "failed": 0}
        token = viewer.next("token")
        assert token["age_s"] is None or token["age_s"] >= 0
        assert "success" in token["fetches"]


def shared_version(sandbox: Sandbox) -> str:
    status = httpx2.get(f"{sandbox.status()['urls']['console']}/api/status", trust_env=False).json()
    version: str = status["filter"]["version"]
    return version


def attached(sandbox: Sandbox) -> bool:
    """Whether Envoy has a request at its admin interface beside the one that asks for this."""
    url = sandbox.status()["urls"]["console"] + "/stats?format=json&filter=^http.admin.downstream_rq_active$"
    [stat] = httpx2.get(url, trust_env=False).json()["stats"]
    return bool(stat["value"] > 1)


def await_detached(sandbox: Sandbox) -> None:
    end = time.monotonic() + PATIENCE_S
    while attached(sandbox):
        assert time.monotonic() < end, "still attached"
        time.sleep(0.1)


def test_who_leaves_is_gone_read_or_not(shared: Sandbox):
    with watching(shared) as viewer:
        viewer.next("tap")
        assert attached(shared)
    await_detached(shared)
    with watching(shared):
        for _ in range(20):
            ask(shared, "/response-headers?" + "&".join(f"x-{number}={'n' * 1000}" for number in range(20)))
    await_detached(shared)


def test_a_head_attaches_nothing(shared: Sandbox):
    await_detached(shared)
    answer = httpx2.head(f"{shared.status()['urls']['console']}/api/exchanges", trust_env=False, timeout=PATIENCE_S)
    assert (answer.status_code, answer.headers["allow"], answer.content) == (405, "GET", b"")
    assert not attached(shared)


@pytest.mark.parametrize("name", ["since", "secrets"])
def test_a_query_that_makes_no_sense(shared: Sandbox, name: str):
    answer = httpx2.get(f"{shared.status()['urls']['console']}/api/exchanges?{name}=yesterday", trust_env=False)
    assert answer.status_code == 422
    assert list(answer.json()) == ["error"]
    assert name in answer.json()["error"]
