"""envoy.yaml and filter.yaml: placed, rendered, and judged by the real Envoy."""

import json
from dataclasses import replace

import pytest
import yaml

from sandbox.envoy import binary
from sandbox.envoy.binary import find_envoy, validate
from sandbox.envoy.bootstrap import place_addresses
from sandbox.envoy.resource import check_module, render_filter
from sandbox.errors import ConfigError, PreconditionError
from sandbox.observe.envoy_log import configuration_error
from sandbox.session import launch
from sandbox.stack import BYPASS, ENVOY_VERSION, INGRESS, JWT_API, UPSTREAM, Address
from sandbox.workspace import HOME, Project, State

PROJECT = Project(root=HOME)
BOOTSTRAP = PROJECT.envoy_yaml.read_text()
FILTER = PROJECT.filter_yaml.read_text()
ADDRESSES = {
    port.name: Address(host="127.0.0.1", port=20000 + number) for number, port in enumerate((INGRESS, BYPASS, JWT_API, UPSTREAM))
}
WASM = b"\0asm\1\0\0\0"
SHA256 = check_module(WASM)


def test_envoy_yaml_is_valid_as_it_stands():
    assert validate(find_envoy(), ENVOY_VERSION, PROJECT.envoy_yaml.parent) == []


def test_only_addresses_change():
    before, after = yaml.safe_load(BOOTSTRAP), yaml.safe_load(place_addresses(BOOTSTRAP, ADDRESSES, "envoy.yaml"))
    found = {}
    for loaded in (before, after):
        for kind in ("listeners", "clusters"):
            for item in loaded["static_resources"][kind]:
                text = json.dumps(item)
                if item["name"] == "parked":  # nobody listens there
                    continue
                found.setdefault(item["name"], []).append(text)
                address = (
                    item["address"]
                    if kind == "listeners"
                    else item["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]
                )
                if loaded is after:
                    wanted = ADDRESSES[item["name"]]
                    assert address["socket_address"] == {"address": wanted.host, "port_value": wanted.port}
                address["socket_address"] = None
    assert before == after
    assert all(old != new for old, new in found.values())


def test_what_a_user_added_stays():
    added = yaml.safe_load(BOOTSTRAP)
    added["static_resources"]["clusters"].append({"name": "mine", "type": "STRICT_DNS"})
    placed = yaml.safe_load(place_addresses(yaml.safe_dump(added), ADDRESSES, "envoy.yaml"))
    assert placed["static_resources"]["clusters"][-1] == {"name": "mine", "type": "STRICT_DNS"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("name: ingress\n      address", "name: egress\n      address", "has no listener named 'ingress'"),
        ("- name: jwt-api\n      type", "- name: jwt\n      type", "has no cluster named 'jwt-api'"),
        ("static_resources:", "dynamic_resources:", "has no static_resources"),
        ("socket_address: {address: 0.0.0.0, port_value: 10000}", "pipe: {path: x}", "listener ingress has no socket_address"),
        ("- name: token_injector", "- name: mine", "has no filter named 'token_injector' with config_discovery"),
        ("filter_chains:", "filter_chain:", "has no filter named 'token_injector'"),
        ("node:", "node: [", r"envoy.yaml:\d+:\d+"),
    ],
)
def test_a_bootstrap_that_cannot_be_placed(old, new, message):
    assert old in BOOTSTRAP
    with pytest.raises(ConfigError, match=message):
        place_addresses(BOOTSTRAP.replace(old, new), ADDRESSES, "envoy.yaml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("connect_timeout: 2s", "connect_timeoutt: 2s", "static_resources.clusters[0]: message envoy.config.cluster.v3.Cluster"),
        ("connect_timeout: 2s", "connect_timeout: banana", "duration must start with an integer"),
        ("connect_timeout: 2s", "connect_timeout: 0s", "ConnectTimeout: value must be greater than 0s"),
        ("port_value: 10001", "port_value: 99999", "PortValue: value must be less than or equal to 65535"),
        ("route: {cluster: upstream}", "route: {cluster: nowhere}", "route: unknown cluster 'nowhere'"),
        ("v3.Router\n", "v3.Routr\n", "could not find @type"),
        ("type: STRICT_DNS", "type: BAD", "unknown enum value: 'BAD'"),
    ],
)
def test_envoys_own_words_without_the_dump(old, new, message, tmp_path):
    assert old in BOOTSTRAP
    (tmp_path / "xds").mkdir()
    (tmp_path / "xds" / "filter.yaml").write_text(FILTER)
    (tmp_path / "envoy.yaml").write_text(BOOTSTRAP.replace(old, new))
    error = configuration_error(validate(find_envoy(), ENVOY_VERSION, tmp_path))
    assert message in error
    assert not [part for part in ("{", "\n", "goo.gle") if part in error]


@pytest.mark.parametrize(
    ("program", "says"),
    [
        ("#!/bin/sh\nkill -SEGV $$", "signal 11"),
        ("#!/bin/sh\nexit 9", "exit code 9"),
        ("#!/bin/sh\nexec sleep 60", "did not judge envoy.yaml within"),
        ("#!/no/such/loader", "does not run: No such file"),
        (None, "does not run: Permission denied"),
    ],
)
def test_an_envoy_that_gives_no_verdict_accepts_nothing(tmp_path, monkeypatch, program, says):
    monkeypatch.setattr(binary, "VALIDATE_TIMEOUT_S", 0.5 if "within" in says else 60.0)
    path = tmp_path / "envoy"
    path.write_text(program or "")
    path.chmod(0o755 if program else 0o644)
    with pytest.raises(PreconditionError, match=says) as caught:
        validate(path, ENVOY_VERSION, tmp_path)
    assert caught.value.hint


def test_a_machine_without_the_wheel(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    monkeypatch.setattr("sys.meta_path", [])
    with pytest.raises(PreconditionError, match="Envoy is not installed"):
        binary.envoy_version()


def test_a_verdict_counts_for_the_envoy_that_gave_it(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(launch, "validate", lambda *_: asked.append("again") or [])
    prepared = launch.Prepared(
        envoy=tmp_path, envoy_version="", bootstrap=BOOTSTRAP, resource=None, module=WASM, module_kind="tinygo"
    )
    files = {"envoy.yaml": b"", "xds/filter.yaml": b"", "xds/parked/parked_a.yaml": b""}
    for version, times in (("1.40.0", 1), ("1.40.0", 1), ("1.41.0", 2)):
        launch.check_bootstrap(replace(prepared, envoy_version=version), files, PROJECT, State(root=tmp_path))
        assert len(asked) == times


def test_the_version_names_module_and_text():
    resource = render_filter(FILTER, SHA256, "filter.yaml", modules_folder="xds/modules")
    assert resource.version.startswith(f"{SHA256}-")
    rendered = yaml.safe_load(resource.text)
    assert rendered["version_info"] == resource.version
    [item] = rendered["resources"]
    assert item["typed_config"]["config"]["vm_config"]["code"]["local"]["filename"] == f"xds/modules/{SHA256}.wasm"


def test_another_configuration_is_another_version():
    one = render_filter(FILTER, SHA256, "filter.yaml", modules_folder="m")
    other = render_filter(FILTER.replace('"15s"', '"1s"'), SHA256, "filter.yaml", modules_folder="m")
    assert one.version != other.version
    assert one.module_sha256 == other.module_sha256


def test_names_come_from_the_plugin_configuration():
    resource = render_filter(FILTER.replace('"x-auth"', '"X-Token"'), SHA256, "filter.yaml", modules_folder="m")
    assert (resource.injected.token_header, resource.injected.where) == ("x-token", "response")


@pytest.mark.parametrize("module", [b"", b"#!/bin/sh", b"\x7fELF", b"\0as"])
def test_a_module_that_is_no_wasm(module):
    with pytest.raises(ConfigError, match="no WebAssembly"):
        check_module(module)


@pytest.mark.parametrize("text", ["resources: []", "a: 1", "resources: [{}]"])
def test_a_file_that_is_no_filter_resource(text):
    with pytest.raises(ConfigError, match="must hold one Wasm filter"):
        render_filter(text, SHA256, "filter.yaml", modules_folder="m")


def test_a_filter_of_another_name_is_told_at_once():
    """The console asks Envoy for it by name: `up` would wait in vain."""
    text = FILTER.replace("name: token_injector  # fixed", "name: mine")
    with pytest.raises(ConfigError, match="the resource is named 'mine', the sandbox needs 'token_injector'"):
        render_filter(text, SHA256, "filter.yaml", modules_folder="m")


def test_the_stack_model_and_envoy_yaml_agree():
    bootstrap = yaml.safe_load(BOOTSTRAP)
    listeners = {
        item["name"]: item["address"]["socket_address"]["port_value"]
        for item in bootstrap["static_resources"]["listeners"]
        if item["name"] != "parked"
    }
    assert listeners == {INGRESS.name: INGRESS.number, BYPASS.name: BYPASS.number}
    for service in (JWT_API, UPSTREAM):
        [cluster] = [item for item in bootstrap["static_resources"]["clusters"] if item["name"] == service.name]
        endpoint = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]
        assert endpoint["address"]["socket_address"] == {"address": service.name, "port_value": service.ports[0].number}
