"""Settings and compiled filters, right and wrong. Files are real."""

import hashlib
import json
import re

import pytest
from doctors import facts, reported

from sandbox.config import load_settings
from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.facts import read_facts
from sandbox.session.doctor.project import check_filter, check_settings
from sandbox.workspace import HOME, MODULE_KINDS, Project

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.parametrize(
    ("name", "value"), [("SANDBOX_WORKERS", "hunter2"), ("SANDBOX_WORKERS", "it's"), ("SANDBOX_ENGINE", "s3")]
)
def test_a_setting_that_is_wrong_is_told_without_its_value(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    found = reported(check_settings, read_facts())
    assert found.state == FAILED
    assert name in found.detail
    assert value not in f"{found.detail} {found.fix}"


def test_settings_are_told_by_name_and_origin(monkeypatch):
    monkeypatch.setenv("SANDBOX_WORKERS", "7")
    found = reported(check_settings, read_facts())
    assert (found.state, found.detail) == (OK, "workers (from SANDBOX_WORKERS)")


def test_variables_of_other_programs_are_told_by_name(monkeypatch):
    monkeypatch.setenv("SANDBOX_RUNTIME", "hunter2")
    found = reported(check_settings, read_facts())
    assert (found.state, found.detail) == (OK, "all default; not ours, so ignored: SANDBOX_RUNTIME")


@pytest.fixture
def prebuilt(tmp_path):
    """A project of its own with two modules and their manifest."""
    folder = tmp_path / "project" / "filter" / "prebuilt"
    folder.mkdir(parents=True)
    manifest = []
    for kind in ("tinygo", "go"):
        content = b"\0asm" + kind.encode()
        (folder / f"token_injector.{kind}.wasm").write_bytes(content)
        manifest.append({"file": f"token_injector.{kind}.wasm", "sha256": hashlib.sha256(content).hexdigest()})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def judge(prebuilt):
    return check_filter(facts(project=Project(root=prebuilt.parent.parent)))


def test_the_modules_that_ship_are_the_ones_in_the_manifest():
    assert check_filter(facts()).state == OK


def test_a_changed_module_is_found(prebuilt):
    assert judge(prebuilt).state == OK
    with (prebuilt / "token_injector.tinygo.wasm").open("ab") as file:
        file.write(b"x")
    found = judge(prebuilt)
    assert (found.state, found.detail) == (FAILED, "token_injector.tinygo.wasm differs from manifest.json")
    assert found.fix


def test_the_module_that_up_does_not_take_is_only_a_warning(prebuilt):
    (prebuilt / "token_injector.go.wasm").unlink()
    found = judge(prebuilt)
    assert (found.state, found.detail) == (WARNING, "token_injector.go.wasm is missing")


@pytest.mark.parametrize("content", [None, b"", b"{}x", b'[{"file": 1}]', b"[1]", b"\xff"])
def test_a_manifest_that_says_nothing(prebuilt, content):
    (prebuilt / "manifest.json").unlink()
    if content is not None:
        (prebuilt / "manifest.json").write_bytes(content)
    found = judge(prebuilt)
    assert found.state == WARNING
    assert "manifest.json" in found.detail


def test_the_fix_in_a_checkout_is_git(prebuilt):
    root = prebuilt.parent.parent
    (root / ".git").mkdir()
    (prebuilt / "token_injector.tinygo.wasm").unlink()
    assert judge(prebuilt).fix == f"git -C {root} checkout filter/prebuilt"


def test_no_hint_names_a_package_that_is_on_no_index():
    """Whoever registered that name would be installed."""
    texts = [path.read_text() for path in HOME.joinpath("sandbox").rglob("*.py")]
    assert not [text for text in texts if re.search("pip install.*envoy-wasm-sandbox", text)]


def test_the_settings_take_every_module_that_ships_and_the_first_one_by_default(tmp_path):
    """Else the check would judge another module than the one that `up` takes."""
    nothing = tmp_path / "sandbox.yaml"
    assert load_settings(nothing, {}).module == MODULE_KINDS[0]
    assert [load_settings(nothing, {"module": kind}).module for kind in MODULE_KINDS] == list(MODULE_KINDS)
