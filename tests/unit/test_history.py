"""Which versions can be gone back to, and what is parked beside them."""

from dataclasses import replace

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from sandbox.envoy.history import KEPT, KEPT_BYTES, FilterVersion, History, parse_history, render_history, with_live, without_live
from sandbox.envoy.parking import render_idle, render_parked
from sandbox.envoy.resource import Injected, render_filter
from sandbox.stack import PARKED_NAMES
from sandbox.workspace import HOME, RUN_PARKED, Project

PROJECT = Project(root=HOME)
INJECTED = Injected(where="response", token_header="x-auth", marker_header="x-m", tick_s=1.0)


def version(name: str, module_bytes: int = 100) -> FilterVersion:
    return FilterVersion(
        version=f"{name}-0", module_bytes=module_bytes, module_origin=name, since_s=1.0, text="a: 1", injected=INJECTED
    )


def history(*names: str) -> History:
    return History(versions=tuple(version(name) for name in names), seed=f"{names[0]}-0")


def names(of: History) -> str:
    return "".join(each.module_origin for each in of.versions)


def test_what_goes_live_is_the_newest_and_there_once():
    assert names(with_live(history("a", "b"), version("c"))) == "abc"
    assert names(with_live(history("a", "b"), version("a"))) == "ba"


def test_each_step_back_goes_further_back():
    there = history("a", "b", "c")
    seen = []
    for _ in range(3):
        target = there.find("")
        assert target
        there = without_live(there, target)
        seen.append(there.live.module_origin)
    assert seen == ["b", "a", "c"]


def test_a_version_is_found_by_how_it_begins_and_the_live_one_never():
    there = history("a1", "a2", "b", "a3")
    assert there.find("a") == there.versions[1]
    assert there.find("a1-0") == there.versions[0]
    assert there.find("a3") is None
    long = replace(version("x"), version=f"{'1' * 12}{'0' * 52}-{'2' * 12}")
    assert History(versions=(long, version("b")), seed="x").find(f"{'1' * 12}-{'2' * 12}") == long  # as status prints it
    assert history("a").find("") is None


@given(st.lists(st.tuples(st.sampled_from("abcdefghijklmnop"), st.integers(1, KEPT_BYTES // 3)), min_size=1, max_size=40))
def test_what_is_kept_is_bounded(steps: list[tuple[str, int]]):
    there = history("z")
    for name, size in steps:
        there = with_live(there, version(name, size))
        assert there.live.module_origin == name
        assert len(there.versions) <= KEPT
        assert sum({each.module_sha256: each.module_bytes for each in there.versions}.values()) <= KEPT_BYTES


def test_a_file_and_back():
    there = history("a", "b")
    assert parse_history(render_history(there)) == there


@given(st.one_of(st.text(), st.sampled_from(["{}", "[]", '{"versions": [], "seed": "", "parked": []}', '{"versions": [1]}'])))
def test_any_other_file_is_none(text: str):
    assert parse_history(text) is None


@pytest.mark.parametrize("name", PARKED_NAMES)
def test_the_idle_files_are_what_the_project_has(name: str):
    path = PROJECT.envoy_yaml.parent / RUN_PARKED / f"{name}.yaml"
    assert yaml.safe_load(render_idle(name)) == yaml.safe_load(path.read_text())


def test_what_is_let_go_of_is_parked_and_what_comes_back_is_not_touched():
    there = history("a", "b")
    assert there.place_for_live("c") == 0
    parked = replace(there, parked=("a", None))
    assert parked.place_for_live("a") == 1  # `a` is to be live, and stays at the first place
    assert parked.place_for_live("c") == 1
    assert replace(there, parked=("a", "x")).place_for_live("a") == 1
    assert replace(there, parked=("x", "a")).place_for_live("a") == 0
    assert replace(there, parked=("b", "a")).place_for_live("a") is None
    assert there.place_for_live("b") is None  # only another configuration


def test_what_is_parked_is_the_same_module_and_may_do_nothing():
    filter_yaml = render_filter(PROJECT.filter_yaml.read_text(), "a" * 64, "filter.yaml", modules_folder="m")
    parked = yaml.safe_load(render_parked("parked_a", filter_yaml.text.decode(), "a" * 64))
    live = yaml.safe_load(filter_yaml.text)["resources"][0]["typed_config"]["config"]
    config = parked["resources"][0]["typed_config"]["config"]
    assert (parked["version_info"], parked["resources"][0]["name"]) == ("a" * 64, "parked_a")
    assert config["vm_config"]["code"] == live["vm_config"]["code"]
    assert config["configuration"] == live["configuration"]
    assert config["vm_config"]["vm_id"] != live["vm_config"]["vm_id"]  # no data in common
    allowed = set(config["capability_restriction_config"]["allowed_capabilities"])
    assert not allowed & {"proxy_on_tick", "proxy_http_call", "proxy_grpc_call", "proxy_increment_metric", "proxy_record_metric"}
