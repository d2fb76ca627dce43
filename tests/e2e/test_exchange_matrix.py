"""Whatever a filter can do to a request and its response: what the console tells of it is that, and nothing else.

A real stack, in whose Envoy a filter of the tests' own runs, and for each case another configuration of it.
"""

import itertools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from filters import SOON, build_deeds, deed, put_deeds, render_deeds
from filters.watching import Answer, Watcher, ask, watching
from stacks import Sandbox, get, until

from sandbox.observe.access import Access, parse_access, settle
from sandbox.observe.exchange import Exchange, Way
from sandbox.observe.headers import Change, Headers
from sandbox.workspace import LOG

Wanted = Callable[[Headers], list[Change]]

ENVOYS_OWN = {"x-envoy-expected-rq-timeout-ms", "host", "server", "x-request-id", "connection", "transfer-encoding"}
"""What Envoy adds behind the taps, or takes off."""
SENT = (("x-two", "one"), ("x-two", "two"), ("x-last", "last"))


class Stack:
    """A running sandbox with the filter in it, and somebody who watches."""

    def __init__(self, sandbox: Sandbox, module: Path, watcher: Watcher) -> None:
        self.sandbox = sandbox
        self.watcher = watcher
        self._module = module
        self._resource = sandbox.run_folder / "xds" / "filter.yaml"
        self._numbers = itertools.count()
        self._log = sandbox.state / "logs" / LOG

    def configure(self, *deeds: str, policy: str = "FAIL_RELOAD", backoff: str = SOON) -> None:
        """Give the filter another configuration, and wait until Envoy has it."""
        resource = render_deeds(self._module, *deeds, policy=policy, backoff=backoff)
        version = put_deeds(resource, self._resource)
        url = f"http://127.0.0.1:{self.sandbox.ports['console']}/stats?filter=version_text"
        until(lambda: version.encode() in get(url)[2], what=version)

    def ask(self, *headers: str, method: str = "GET", body: str = "", path: str = "") -> tuple[Answer, Exchange]:
        """Send a request with `SENT` and `headers`, by default one whose response has `SENT`; and what was told of it."""
        mark = f"{next(self._numbers)}"
        path = f"{path or '/response-headers'}?{'&'.join(map('='.join, SENT))}&x-mark={mark}"
        lines = [f"{method} {path} HTTP/1.1", "host: example.test", "connection: close", *map(": ".join, SENT), *headers]
        if body:
            lines.append(f"content-length: {len(body)}")
        answer = ask(self.sandbox.ports["ingress"], ("\r\n".join(lines) + "\r\n\r\n" + body).encode())
        # The filter may have changed the path for the others; the tap before it has the one that was sent.
        return answer, self.watcher.await_exchange(path)

    def settled(self, exchange: Exchange) -> Exchange:
        """The exchange with what Envoy's log says of it."""

        def look() -> list[Access]:
            *whole, _ = self._log.read_text().split("\n")
            lines = (json.loads(line)[2] for line in whole if exchange.id in line)
            return [access for line in lines if (access := parse_access(line))]

        [access] = until(look, what=f"the log of {exchange.path}")
        return settle(exchange, access)


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    sandbox = Sandbox(tmp_path_factory.mktemp("matrix"))
    try:
        sandbox.up("--workers", "1")
        module = build_deeds(sandbox.folder)
        with watching(sandbox.ports["console"]) as watcher:
            yield Stack(sandbox, module, watcher)
            paths = [exchange.path for exchange in watcher.exchanges]
            assert len(set(paths)) == len(paths)
            assert not watcher.of("dropped")
        sandbox.down()
        sandbox.await_clean()
    finally:
        sandbox.destroy()


def place(headers: Headers, name: str) -> int:
    """Of the first of that name."""
    return next(place for place, header in enumerate(headers) if header[0] == name)


def added(name: str, *values: str, exact: bool = True, injects: bool = False) -> Wanted:
    """Behind all that came."""
    return lambda before: [
        Change(kind="added", name=name, after=value, after_index=len(before) + number, exact=exact, injects=injects)
        for number, value in enumerate(values)
    ]


def removed(*headers: tuple[str, str]) -> Wanted:
    return lambda before: [
        Change(kind="removed", name=name, before=value, before_index=before.index((name, value))) for name, value in headers
    ]


def replaced(name: str, old: str, new: str) -> Wanted:
    """Taken away where it was, and written behind all others."""
    return lambda before: [
        Change(
            kind="changed", name=name, before=old, after=new, before_index=before.index((name, old)), after_index=len(before) - 1
        )
    ]


def replaced_pseudo(name: str, new: str) -> Wanted:
    """Taken away where it was, and written behind the other pseudo-headers."""

    def wanted(before: Headers) -> list[Change]:
        at, last = place(before, name), sum(key.startswith(":") for key, _ in before) - 1
        return [Change(kind="changed", name=name, before=before[at][1], after=new, before_index=at, after_index=last)]

    return wanted


def replaced_two(before: Headers) -> list[Change]:
    at, end = place(before, "x-two"), len(before)
    gone = Change(kind="removed", name="x-two", before="two", before_index=at + 1)
    new = Change(kind="changed", name="x-two", before="one", after="New", before_index=at, after_index=end - 2)
    return [gone, new] if at + 1 < end - 2 else [new, gone]


def two_last(before: Headers) -> list[Change]:
    at, end = place(before, "x-two"), len(before)
    return [
        Change(kind="moved", name="x-two", before=value, after=value, before_index=at + number, after_index=end - 2 + number)
        for number, value in enumerate(("one", "two"))
    ]


def nothing(_: Headers) -> list[Change]:
    return []


BOTH: dict[str, tuple[tuple[tuple[str | bytes, ...], ...], Wanted]] = {
    "nothing": ((), nothing),
    "add": ((("add", "x-a", "1"),), added("x-a", "1")),
    "add twice": ((("add", "x-a", "1"), ("add", "x-a", "2")), added("x-a", "1", "2")),
    "add to what is there": ((("add", "x-two", "three"),), added("x-two", "three")),
    "add and remove again": ((("add", "x-a", "1"), ("remove", "x-a")), nothing),
    "replace": ((("replace", "x-last", "New"),), replaced("x-last", "last", "New")),
    "replace what is not there": ((("replace", "x-a", "1"),), added("x-a", "1")),
    "replace two": ((("replace", "x-two", "New"),), replaced_two),
    "replace with the same": (
        (("replace", "x-last", "last"),),
        lambda before: [
            Change(
                kind="moved",
                name="x-last",
                before="last",
                after="last",
                before_index=place(before, "x-last"),
                after_index=len(before) - 1,
            )
        ],
    ),
    "remove": ((("remove", "x-last"),), removed(("x-last", "last"))),
    "remove what is not there": ((("remove", "x-a"),), nothing),
    "remove two": ((("remove", "x-two"),), removed(("x-two", "one"), ("x-two", "two"))),
    "remove the first of two": ((("drop", "x-two", "one"),), removed(("x-two", "one"))),
    "remove the second of two": ((("drop", "x-two", "two"),), removed(("x-two", "two"))),
    "empty value": ((("add", "x-a", ""),), added("x-a", "")),
    "empty a value": ((("replace", "x-last", ""),), replaced("x-last", "last", "")),
    "name in upper case": ((("add", "X-UPPER", "1"),), added("x-upper", "1")),
    "name there in upper case": ((("replace", "X-Last", "New"),), replaced("x-last", "last", "New")),
    "rename to upper case": ((("rename", "x-last", "X-LAST"),), nothing),
    "rename": (
        (("rename", "x-last", "x-new"),),
        lambda before: [
            Change(kind="added", name="x-new", after="last", after_index=place(before, "x-last")),
            Change(kind="removed", name="x-last", before="last", before_index=place(before, "x-last")),
        ],
    ),
    "value to upper case": ((("replace", "x-last", "LAST"),), replaced("x-last", "last", "LAST")),
    "move": ((("last", "x-two"),), two_last),
    "write all anew": ((("rewrite",),), nothing),
    "UTF-8": ((("add", "x-a", "café ☕"),), added("x-a", "café ☕")),
    "not UTF-8": ((("add", "x-a", b"caf\xe9"),), added("x-a", "caf!", exact=False)),
    "an exclamation mark": ((("add", "x-a", "hi!"),), added("x-a", "hi!", exact=False)),
    "long": ((("add", "x-a", "a" * 20_000),), added("x-a", "a" * 20_000)),
    "quotes": ((("add", "x-a", '"\\\t}'),), added("x-a", '"\\\t}')),
}
"""What is done, and what of it can be told from what came."""


@pytest.mark.parametrize("side", ["request", "response"])
@pytest.mark.parametrize("name", BOTH)
def test_what_the_filter_did_to_headers(stack: Stack, name: str, side: str) -> None:
    deeds, wanted = BOTH[name]
    stack.configure(*(deed(side, str(verb), *arguments) for verb, *arguments in deeds))
    answer, exchange = stack.ask(path="/anything" if side == "request" else "")
    assert answer.status == exchange.status == 200
    assert (exchange.answered_by, exchange.trapped) == ("upstream", False)
    way, other = both_ways(exchange) if side == "request" else both_ways(exchange)[::-1]
    assert list(way.changes) == wanted(way.before)
    assert other.changes == ()
    assert_arrived(way, answer, side)
    assert stack.settled(exchange) == replace(exchange, details="via_upstream")


def both_ways(exchange: Exchange) -> tuple[Way, Way]:
    assert exchange.response
    return exchange.request, exchange.response


def assert_arrived(way: Way, answer: Answer, side: str) -> None:
    """What the far tap showed is what came to the upstream or the client, in that order, Envoy's own aside."""
    arrived = json.loads(answer.body)["headers"] if side == "request" else answer.headers
    assert way.after
    told = [header for header in way.after if header[0] not in ENVOYS_OWN and not header[0].startswith(":")]
    assert [plain(*header) for header in arrived if header[0] not in ENVOYS_OWN] == told


def plain(name: str, value: str) -> tuple[str, str]:
    """A header that was read as Latin-1, as Envoy's tap shows it."""
    try:
        return name, value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return name, value.encode("latin-1").decode(errors="replace").replace("\ufffd", "!")


PSEUDO = {":method": "PUT", ":authority": "other.test", ":path": "/anything/else", ":scheme": "https"}


@pytest.mark.parametrize("name", PSEUDO)
def test_where_the_request_goes(stack: Stack, name: str) -> None:
    stack.configure(deed("request", "replace", name, PSEUDO[name]))
    answer, exchange = stack.ask(path="/anything")
    assert (exchange.status, exchange.answered_by, exchange.trapped) == (200, "upstream", False)
    request, response = both_ways(exchange)
    assert list(request.changes) == replaced_pseudo(name, PSEUDO[name])(request.before)
    assert response.changes == ()
    echo = json.loads(answer.body)
    arrived = {":method": echo["method"], ":path": echo["path"], ":authority": dict(echo["headers"])["host"]}
    assert arrived.get(name, PSEUDO[name]) == PSEUDO[name]


def test_the_status(stack: Stack) -> None:
    stack.configure(deed("response", "replace", ":status", "418"))
    answer, exchange = stack.ask()
    assert answer.status == exchange.status == 418
    assert (exchange.answered_by, exchange.trapped) == ("upstream", False)
    request, response = both_ways(exchange)
    assert request.changes == ()
    assert list(response.changes) == [
        Change(kind="changed", name=":status", before="200", after="418", before_index=0, after_index=0)
    ]


@pytest.mark.parametrize("side", ["request", "response"])
def test_another_body(stack: Stack, side: str) -> None:
    stack.configure(deed(side, "body", "other"))
    answer, exchange = stack.ask(method="POST", body="body", path="/anything")
    assert (exchange.status, exchange.answered_by, exchange.trapped) == (200, "upstream", False)
    way, other = both_ways(exchange) if side == "request" else both_ways(exchange)[::-1]
    assert list(way.changes) == removed(way.before[place(way.before, "content-length")])(way.before)
    assert other.changes == ()
    if side == "request":
        assert json.loads(answer.body)["body"]["data"] == "other"
    else:
        assert answer.body == b"5\r\nother\r\n0\r\n\r\n"


@pytest.mark.parametrize("name", ["request", "response"])
def test_both_ways_at_once(stack: Stack, name: str) -> None:
    stack.configure(deed("request", "add", "x-a", "1"), deed("response", "remove", "x-two"), deed("request", "remove", "x-last"))
    _, exchange = stack.ask(path="/anything" if name == "request" else "")
    request, response = both_ways(exchange)
    last = place(request.before, "x-last")
    assert list(request.changes) == [
        Change(kind="removed", name="x-last", before="last", before_index=last),
        Change(kind="added", name="x-a", after="1", after_index=len(request.before) - 1),
    ]
    assert list(response.changes) == (removed(("x-two", "one"), ("x-two", "two"))(response.before) if name == "response" else [])


SPLITTING = {"CR LF": b"1\r\nx-b: 2", "LF": b"1\nx-b: 2", "NUL": b"1\x002"}


@pytest.mark.parametrize("name", SPLITTING)
def test_a_value_that_a_client_reads_as_more_than_one_header(stack: Stack, name: str) -> None:
    value = SPLITTING[name]
    stack.configure(deed("response", "add", "x-a", value))
    answer, exchange = stack.ask()
    request, response = both_ways(exchange)
    assert list(response.changes) == added("x-a", value.decode(), injects=True)(response.before)
    assert request.changes == ()
    assert (("x-b", "2") in answer.headers) == (name != "NUL")

    # Envoy lets none of them reach an upstream.
    stack.configure(deed("request", "add", "x-a", value))
    answer, exchange = stack.ask()
    request, response = both_ways(exchange)
    assert list(request.changes) == added("x-a", value.decode(), injects=True)(request.before)
    assert response.changes == ()
    assert answer.status == exchange.status == 503
    assert (exchange.answered_by, exchange.trapped) == ("envoy", False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the filter answers, and what is told of it."""

    arguments: tuple[str, ...]
    by: str | None = "filter"
    trapped: bool | None = False
    before: tuple[str, ...] = ()


REPLIES = {
    "403": Reply(arguments=("403", "no\n", "x-a", "1", "x-a", "2")),
    "200 without a body": Reply(arguments=("200", "", "x-a", "1")),
    "503 with a header": Reply(arguments=("503", "", "x-a", "1")),
    "503 with a body": Reply(arguments=("503", "no\n")),
    "as if from the upstream": Reply(arguments=("200", "yes\n", "x-envoy-upstream-service-time", "1")),
    # What Envoy answers for a filter that crashed is the same.
    "503 and nothing in it": Reply(arguments=("503", ""), by=None, trapped=None),
}


@pytest.mark.parametrize("name", REPLIES)
def test_the_filter_answers_in_place_of_the_upstream(stack: Stack, name: str) -> None:
    reply = REPLIES[name]
    stack.configure(deed("request", "reply", *reply.arguments))
    answer, exchange = stack.ask()
    status, body, *headers = reply.arguments
    assert answer.status == exchange.status == int(status)
    assert answer.body.decode() == body
    assert (exchange.answered_by, exchange.trapped) == (reply.by, reply.trapped)
    request, response = both_ways(exchange)
    assert request.after is None
    assert request.changes == response.changes == ()
    assert response.before == response.after
    assert set(zip(headers[::2], headers[1::2], strict=True)) <= set(response.before)
    assert stack.settled(exchange) == replace(exchange, answered_by="filter", trapped=False, details="")


def test_what_the_filter_does_to_its_own_answer(stack: Stack) -> None:
    stack.configure(
        deed("request", "add", "x-a", "1"), deed("request", "reply", "200", "yes\n"), deed("response", "add", "x-b", "2")
    )
    answer, exchange = stack.ask()
    assert ("x-b", "2") in answer.headers
    assert (exchange.answered_by, exchange.trapped) == ("filter", False)
    request, response = both_ways(exchange)
    assert request.after is None
    assert list(response.changes) == added("x-b", "2")(response.before)


def test_an_answer_in_place_of_the_upstreams(stack: Stack) -> None:
    stack.configure(deed("response", "reply", "502", "no\n", "x-a", "1"))
    answer, exchange = stack.ask()
    assert (answer.status, answer.body) == (502, b"no\n")
    # The taps see neither this answer nor that there is one.
    assert (exchange.status, exchange.answered_by, exchange.trapped) == (None, None, None)
    request, response = both_ways(exchange)
    assert request.changes == ()
    assert value(response.before, ":status") == "200"
    assert response.after is None
    assert stack.settled(exchange) == replace(exchange, status=502, answered_by="filter", trapped=False, details="")


def value(headers: Headers, name: str) -> str:
    return headers[place(headers, name)][1]


TRAP = "x-trap: 1"
CRASH = {"answered_by": "envoy", "trapped": True, "details": "wasm_fail_stream"}


def trap(side: str) -> tuple[str, ...]:
    """Trap if asked to, and show that the filter is there."""
    return (deed(side, "trap", "x-trap"), deed("response", "add", "x-b", "2"))


def assert_trapped(stack: Stack, side: str) -> None:
    answer, exchange = stack.ask(TRAP)
    assert (answer.status, answer.body) == (503, b"")
    assert exchange.trapped is None
    assert exchange.answered_by is None
    request, response = both_ways(exchange)
    assert request.changes == response.changes == ()
    if side == "request":
        assert exchange.status == 503
        assert request.after is None
        assert response.before == response.after == ((":status", "503"),)
    else:
        assert exchange.status is None
        assert request.before == request.after
        assert response.after is None
    assert stack.settled(exchange) == replace(exchange, status=503, **CRASH)


def assert_filtered(stack: Stack) -> None:
    answer, exchange = stack.ask()
    _, response = both_ways(exchange)
    assert (answer.status, exchange.answered_by, exchange.trapped) == (200, "upstream", False)
    assert list(response.changes) == added("x-b", "2")(response.before)


@pytest.mark.parametrize("side", ["request", "response"])
def test_a_trap_and_what_comes_after_it(stack: Stack, side: str) -> None:
    stack.configure(*trap(side))
    for _ in range(3):
        assert_filtered(stack)
        assert_trapped(stack, side)
        until(lambda: stack.ask()[0].status == 200, what="the filter")


@pytest.mark.parametrize("side", ["request", "response"])
def test_after_a_trap_the_next_configuration_runs(stack: Stack, side: str) -> None:
    for policy in ("FAIL_RELOAD", "FAIL_CLOSED", "FAIL_OPEN"):
        stack.configure(*trap(side), policy=policy, backoff="")
        assert_filtered(stack)
        assert_trapped(stack, side)


def test_a_filter_that_is_gone_lets_everything_through(stack: Stack) -> None:
    stack.configure(*trap("request"), policy="FAIL_OPEN", backoff="")
    assert_trapped(stack, "request")
    for _ in range(2):
        answer, exchange = stack.ask(TRAP)
        assert (answer.status, exchange.answered_by, exchange.trapped) == (200, "upstream", False)
        request, response = both_ways(exchange)
        assert request.changes == response.changes == ()


def test_a_filter_that_is_gone_lets_nothing_through(stack: Stack) -> None:
    stack.configure(*trap("request"), policy="FAIL_CLOSED", backoff="")
    assert_trapped(stack, "request")
    for _ in range(2):
        answer, exchange = stack.ask()
        assert (answer.status, exchange.status, exchange.answered_by, exchange.trapped) == (503, 503, None, None)
        assert stack.settled(exchange) == replace(exchange, **CRASH)


@pytest.mark.parametrize("side", ["request", "response"])
def test_what_was_done_before_a_trap_is_not_told(stack: Stack, side: str) -> None:
    stack.configure(deed(side, "add", "x-a", "1"), *trap(side))
    assert_trapped(stack, side)


def test_the_upstream_itself_answers_with_an_error(stack: Stack) -> None:
    stack.configure(deed("response", "add", "x-b", "2"))
    for status in (503, 500, 404):
        _, exchange = stack.ask(path=f"/status/{status}")
        _, response = both_ways(exchange)
        assert (exchange.status, exchange.answered_by, exchange.trapped) == (status, "upstream", False)
        assert list(response.changes) == added("x-b", "2")(response.before)
