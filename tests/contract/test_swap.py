"""`swap` and `rollback` on every engine: the filter changes under load, nothing is lost, and what is refused changes nothing."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from load import Load
from stacks import Sandbox, get, until
from test_lifecycle import ENGINES, at_hand
from wasm_cases import CONFIGURE, FILTER, LEAST

from sandbox.errors import ConfigError
from sandbox.session.given import GivenConfiguration, GivenModule
from sandbox.session.live import LiveFilter
from sandbox.stack import shorten
from sandbox.workspace import HOME, Project
from tools.wasm_writer import TRAP, Function, custom, write_module

SHIPPED = Project(root=HOME).module("tinygo").read_bytes()
TIMES = 20


def variant(number: int) -> bytes:
    """The shipped filter as a module that no Envoy has compiled yet."""
    return SHIPPED + custom("variant", str(number).encode())


def given(module: bytes, origin: str = "test") -> GivenModule:
    return GivenModule(content=module, sha256=hashlib.sha256(module).hexdigest(), origin=origin)


def greeting(text: str) -> GivenConfiguration:
    return GivenConfiguration(resource=None, configuration=json.dumps({"marker_value": text}), origin="test.json")


@pytest.fixture(scope="module", params=ENGINES)
def steady(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack of which every test may change the filter."""
    with Sandbox(tmp_path_factory.mktemp("swap"), environment={"SANDBOX_ENGINE": at_hand(request)}).running() as sandbox:
        yield sandbox


@pytest.fixture
def live(steady: Sandbox) -> Iterator[LiveFilter]:
    with steady.live_filter() as live:
        yield live


def seen(stack: Sandbox) -> str:
    """The marker that a response has now."""
    return get(f"http://127.0.0.1:{stack.ports['ingress']}/status/200")[1].get("x-wasm-filter", "")


def ingress(stack: Sandbox) -> str:
    return f"http://127.0.0.1:{stack.ports['ingress']}"


def test_swaps_and_rollbacks_under_load_lose_nothing(steady: Sandbox, live: LiveFilter):
    with Load(ingress(steady)) as load:
        for number in range(TIMES):
            verdict = live.change(given(variant(number)), greeting(str(number)))
            assert not (verdict.refused or verdict.unchanged)
            assert until(lambda number=number: seen(steady) == str(number))
        for _ in range(TIMES):
            assert not live.roll_back("").refused  # from the tenth on to what was left before
        sent = load.sent
        assert until(lambda: load.sent > sent)
    assert load.strange == []


def test_refused_swaps_under_load_change_nothing(steady: Sandbox, live: LiveFilter):
    live.change(given(SHIPPED), greeting("stays"))
    version = steady.status()["versions"][-1]["version"]
    refused = [
        (given(write_module([*FILTER[:-2], Function(name=CONFIGURE.name, signature=CONFIGURE.signature, body=TRAP)])), None),
        (given(write_module(LEAST) + b"\0"), None),
        (None, GivenConfiguration(resource=None, configuration='{"inject": "nowhere"}', origin="bad.json")),
        (given(SHIPPED[:100_000]), None),
    ]
    with Load(ingress(steady)) as load:
        for number in range(TIMES):
            verdict = live.change(*refused[number % len(refused)])
            assert verdict.refused, refused[number % len(refused)]
            assert verdict.before == version
    assert load.strange == []
    assert seen(steady) == "stays"
    status = steady.heard()
    assert (status["versions"][-1]["version"], status["filter_live"]) == (version, True)


def test_swap_says_what_was_seen_and_rollback_takes_it_back(steady: Sandbox, live: LiveFilter, tmp_path: Path):
    live.change(given(SHIPPED), greeting("before"))
    module, config = tmp_path / "mine.wasm", tmp_path / "mine.json"
    module.write_bytes(variant(1000))
    config.write_text('{"marker_value": "mine"}')
    done = steady.run("swap", str(module), "--config", str(config)).expect(0)
    assert "(mine.wasm with mine.json) is live: " in done.stdout
    assert ", 0 of " in done.stdout
    assert seen(steady) == "mine"
    status = steady.status()
    assert status["filter_sha256"] == hashlib.sha256(variant(1000)).hexdigest()
    assert status["filter_origin"] == "mine.wasm with mine.json"
    assert [version["parked"] for version in status["versions"]][-2:] == [True, True]

    swapped = steady.json("swap", str(module))
    assert swapped["unchanged"] is True

    back = steady.json("rollback")
    assert (back["unchanged"], back["probed"]["lost"], back["before"]) == (False, 0, status["versions"][-1]["version"])
    assert seen(steady) == "before"

    again = steady.json("rollback", status["versions"][-1]["version"][:20])
    assert (seen(steady), again["version"]) == ("mine", status["versions"][-1]["version"])
    assert "no such version" in steady.run("rollback", "0123").expect(2).error
    printed = next(line.split()[1] for line in steady.run("status").expect(0).stdout.splitlines() if line.startswith("Earlier "))
    assert shorten(steady.json("rollback", printed)["version"]) == printed


def test_a_swapped_filter_outlives_restarts(steady: Sandbox, live: LiveFilter):
    live.change(given(variant(1)), greeting("swapped"))
    for service in ("envoy", "console"):
        steady.run("restart", service).expect(0)
        assert seen(steady) == "swapped"
    assert steady.heard()["filter_live"] is True
    assert "already running" in steady.run("up", *steady.port_flags).expect(0).stdout


def test_nobody_changes_the_filter_without_the_token(steady: Sandbox):
    url = f"http://127.0.0.1:{steady.ports['console']}/api/filter"
    before = get(url)[2]
    for method, path in (("POST", ""), ("POST", "/rollback"), ("PUT", "/modules/" + "0" * 64)):
        status, _, _ = get(url + path, {"authorization": "Bearer guessed"}, method=method, data=b"{}")
        assert status == 401
    assert get(url)[2] == before


@pytest.mark.parametrize(
    ("module", "configuration", "message"),
    [
        (b"\0elf", None, "no WebAssembly"),
        (None, GivenConfiguration(resource="resources: []", configuration=None, origin="x"), "must hold one Wasm filter"),
        (None, GivenConfiguration(resource="a: [", configuration=None, origin="x"), "filter.yaml:"),
    ],
)
def test_what_can_be_no_filter_does_not_reach_envoy(live: LiveFilter, module, configuration, message):
    with pytest.raises(ConfigError, match=message):
        live.change(given(module) if module else None, configuration)


def test_up_with_a_filter_of_ones_own(make_sandbox, steady: Sandbox, tmp_path: Path):
    """One that no compiler made, and that injects nothing."""
    module = tmp_path / "least.wasm"
    module.write_bytes(write_module(FILTER))
    config = tmp_path / "least.json"
    config.write_text('{"marker_value": "its own"}')
    own = make_sandbox(environment={"SANDBOX_ENGINE": steady.environment["SANDBOX_ENGINE"]})
    done = own.up("--filter", str(module), "--config", str(config))
    assert "(least.wasm)" in done.stdout
    assert [version["origin"] for version in own.status()["versions"]] == ["least.wasm with least.json"]
    answer = own.json("curl", "/")
    assert (answer["status"], answer["token"], answer["no_token_because"]) == (200, None, None)
    assert "no other filter was live since this stack was started" in own.run("rollback").expect(2).error
    done = own.run("up", *own.port_flags, "--filter", str(module)).expect(0)
    assert "the filter stays least.wasm" in done.stderr
    own.run("swap", str(Project(root=HOME).module("tinygo"))).expect(0)
    assert seen(own) == "its own"
    own.down()
