"""Which folder is the project, and which is its state folder."""

import os

from doctors import as_somebody_else

from sandbox.session.doctor.facts import read_facts
from sandbox.workspace import HOME, Project, find_project, state_of


def test_each_project_has_a_folder_of_its_own_below_the_named_one(tmp_path, monkeypatch):
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path))
    one, other = (state_of(Project(root=tmp_path / name / "project")).root for name in "ab")
    assert (one.parent, other.parent) == (tmp_path, tmp_path)
    assert one != other
    monkeypatch.delenv("SANDBOX_STATE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert state_of(Project(root=tmp_path / "a" / "project")).root.name == one.name


def test_the_named_folder_may_be_relative_and_a_link(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SANDBOX_STATE_DIR", "link")
    assert state_of(Project(root=HOME)).root.parent == tmp_path / "real"


def test_a_closed_folder_on_the_way_up_is_no_project(tmp_path, monkeypatch):
    """Root may look everywhere, so the system's answer is made up."""
    monkeypatch.delenv("SANDBOX_PROJECT", raising=False)

    def closed(*_, **__):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("os.stat", closed)
    assert find_project(tmp_path).root == HOME


def test_a_state_folder_of_another_user_is_an_error_that_says_what_to_do(short):
    (short / "ports.json").write_text("{}")
    short.chmod(0o700 if os.geteuid() == 0 else 0)
    code = """
import sys
from pathlib import Path
from sandbox.errors import PreconditionError
from sandbox.files import load_json
drop()
try:
    load_json(Path(sys.argv[1]) / "ports.json")
except PreconditionError as error:
    print(error, error.hint)
"""
    said = as_somebody_else(code, str(short))
    short.chmod(0o700)
    assert said.startswith(f"cannot read {short}/ports.json: Permission denied SANDBOX_STATE_DIR=")


def test_the_doctor_works_in_a_folder_that_was_removed(tmp_path, monkeypatch):
    folder = tmp_path / "removed"
    folder.mkdir()
    monkeypatch.delenv("SANDBOX_PROJECT", raising=False)
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path))
    monkeypatch.chdir(folder)
    folder.rmdir()
    assert read_facts().problems == {}
