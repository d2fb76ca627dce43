"""The swapper's decisions, with an Envoy that says what it is told to: the real one is in tests/contract/test_swap.py."""

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sandbox.console import swapping
from sandbox.console.swapping import BusyError, GoneError, Swapper
from sandbox.envoy.admin import AdminError
from sandbox.envoy.history import FilterVersion, History
from sandbox.envoy.resource import Injected
from sandbox.envoy.stage import Stage
from sandbox.errors import PreconditionError
from sandbox.stack import FILTER_NAME, PARKED_NAMES
from sandbox.workspace import RUN_FILTER_YAML, RUN_MODULES, RUN_PARKED

STATS = "extension_config_discovery.http_filter"
INJECTED = Injected(where="response", token_header="x-auth", marker_header="x-m", tick_s=1.0)
RESOURCE = """\
version_info: {name}
resources:
- name: token_injector
  typed_config:
    config:
      vm_config: {{}}
"""


def version(name: str) -> FilterVersion:
    return FilterVersion(
        version=f"{name}-0",
        module_bytes=1,
        module_origin=name,
        since_s=1.0,
        text=RESOURCE.format(name=f"{name}-0"),
        injected=INJECTED,
    )


class Envoy:
    """Counts as the real one does what it reads in the folder: it takes what `takes` says, and parks everything."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.takes: Callable[[str], bool | None] = lambda _: True
        self.gone = False
        self.live = self.named(RUN_FILTER_YAML)
        self.judged = self.live
        self.rejected = 0
        self.compiles = asyncio.Event()

    def named(self, file: str) -> str:
        for line in (self.folder / file).read_text().splitlines():
            if line.startswith("version_info: "):
                return line.removeprefix("version_info: ")
        raise AssertionError(file)

    async def read(self, path: str, *, timeout_s: float, query: Any = None) -> bytes:
        assert path == "/stats"
        await asyncio.sleep(0)
        if self.gone:
            raise AdminError("refused", busy=False)
        laid = self.named(RUN_FILTER_YAML)
        verdict = self.takes(laid)
        if verdict is None:
            self.compiles.set()
        if laid != self.judged and verdict is not None:
            self.judged = laid
            self.live, self.rejected = (laid, self.rejected) if verdict else (self.live, self.rejected + 1)
        stats = [
            {"name": f"{STATS}.{FILTER_NAME}.version_text", "value": self.live},
            {"name": f"{STATS}.{FILTER_NAME}.update_rejected", "value": self.rejected},
            {"name": f"{STATS}.{FILTER_NAME}.update_failure", "value": 0},
            *(
                {"name": f"{STATS}.{name}.version_text", "value": self.named(f"{RUN_PARKED}/{name}.yaml")}
                for name in PARKED_NAMES
            ),
        ]
        return json.dumps({"stats": stats}).encode()


class Bench:
    """A folder that Envoy watches, with `a` live in it."""

    def __init__(self, folder: Path) -> None:
        self.stage = Stage(folder)
        self.stage.begin(version("a"), b"a")
        self.envoy = Envoy(folder)
        self.swapper = Swapper(self.stage, self.envoy)  # type: ignore[arg-type] # as far as it is asked

    async def swap(self, name: str) -> swapping.Swap:
        self.stage.write_module(name, name.encode())
        return await self.swapper.swap(lambda _: version(name))

    @property
    def history(self) -> History:
        history = self.stage.read_history()
        assert history
        return history

    @property
    def names(self) -> str:
        return "".join(each.module_origin for each in self.history.versions)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_what_envoy_takes_is_remembered(bench: Bench):
    done = asyncio.run(bench.swap("b"))
    assert (done.outcome, done.version.version, done.before) == ("live", "b-0", "a-0")
    assert bench.names == "ab"
    assert bench.history.parked[0] == "a"
    assert asyncio.run(bench.swap("b")).outcome == "unchanged"


def test_what_envoy_refuses_is_taken_away_again(bench: Bench):
    bench.envoy.takes = lambda laid: laid != "b-0"
    assert asyncio.run(bench.swap("b")).outcome == "refused"
    assert bench.names == "a"
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"
    assert not (bench.envoy.folder / RUN_MODULES / "b.wasm").exists()


def test_an_envoy_that_is_not_there(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(swapping, "GONE_S", 0.02)
    bench.envoy.gone = True
    with pytest.raises(GoneError, match="Envoy is not running"):
        asyncio.run(bench.swap("b"))
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"


def test_an_envoy_that_does_not_say(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(swapping, "COMPILE_S", 0.05)
    bench.envoy.takes = lambda _: None
    with pytest.raises(GoneError, match="did not say within"):
        asyncio.run(bench.swap("b"))
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"
    assert bench.names == "a"


def test_one_at_a_time_and_who_waits_too_long_is_told(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(swapping, "TURN_S", 0.02)
    bench.envoy.takes = lambda laid: None if laid == "b-0" else True

    async def both() -> None:
        first = asyncio.create_task(bench.swap("b"))
        await bench.envoy.compiles.wait()
        with pytest.raises(BusyError):
            await bench.swap("c")
        bench.envoy.takes = lambda _: True
        assert (await first).outcome == "live"

    asyncio.run(both())
    assert bench.names == "ab"


def test_a_swap_that_is_cut_off_puts_the_old_filter_back(bench: Bench):
    bench.envoy.takes = lambda _: None

    async def cut_off() -> None:
        swap = asyncio.create_task(bench.swap("b"))
        await bench.envoy.compiles.wait()
        swap.cancel()
        with pytest.raises(asyncio.CancelledError):
            await swap

    asyncio.run(cut_off())
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"
    assert bench.names == "a"


def test_a_console_that_was_killed_in_a_swap_is_mended_at_its_next_start(bench: Bench):
    bench.stage.lay(version("b").text)
    bench.stage.mend()
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"
    (bench.envoy.folder / RUN_FILTER_YAML).unlink()
    bench.stage.mend()
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"


def test_what_cannot_be_remembered_is_not_live(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    def full(_: History) -> None:
        raise PreconditionError("the disk is full")

    monkeypatch.setattr(bench.stage, "write_history", full)
    with pytest.raises(PreconditionError):
        asyncio.run(bench.swap("b"))
    assert bench.envoy.named(RUN_FILTER_YAML) == "a-0"


def test_the_module_of_a_parked_filter_stays(bench: Bench):
    """After a rollback the filter that was left is parked, and the next one to be forgotten."""
    for number in range(1, 12):
        asyncio.run(bench.swap(f"m{number}"))
    assert asyncio.run(bench.swapper.roll_back(""))
    assert "m11" in bench.history.parked
    asyncio.run(bench.swap("m12"))
    live = bench.history.live
    configured = replace(live, version="m12-1", text=RESOURCE.format(name="m12-1"))
    asyncio.run(bench.swapper.swap(lambda _: configured))
    parked = [name for name in bench.history.parked if name]
    there = {path.stem for path in (bench.envoy.folder / RUN_MODULES).iterdir()}
    assert len(parked) == len(PARKED_NAMES)
    assert set(parked) <= there
    assert {bench.envoy.named(f"{RUN_PARKED}/{name}.yaml") for name in PARKED_NAMES} <= there
