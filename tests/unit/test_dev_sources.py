"""Whether the sources of a filter are others than before: by content, and told by events or without them."""

import errno
import os
import shutil
import threading
from pathlib import Path

import pytest
from doctors import as_somebody_else
from stacks import until

from sandbox.session.dev import watcher as module
from sandbox.session.dev.sources import Sources
from sandbox.session.dev.watcher import Watcher

WITHOUT_EVENTS = """
import ctypes, errno, queue, shutil, tempfile, threading
from pathlib import Path
import watchfiles
from sandbox.session.dev.sources import Sources
from sandbox.session.dev.watcher import Watcher

drop()
folder = Path(tempfile.mkdtemp())
told, changed = queue.Queue(), threading.Event()
try:
    (folder / "filter.yaml").write_text("resources: []")
    sources = Sources(folder=folder, filter_yaml=folder / "filter.yaml", output=folder / "out.bin")
    libc = ctypes.CDLL(None, use_errno=True)
    while libc.inotify_init() >= 0:
        pass
    assert ctypes.get_errno() == errno.EMFILE
    with Watcher(sources, changed=changed.set, tell=told.put):
        print(told.get(timeout=20))
        (folder / "main.go").write_text("package main // saved")
        assert changed.wait(20)
    print("heard")
finally:
    shutil.rmtree(folder)
"""


@pytest.fixture
def sources(tmp_path: Path) -> Sources:
    folder, xds = tmp_path / "filter", tmp_path / "xds"
    (folder / "internal").mkdir(parents=True)
    xds.mkdir()
    (folder / "main.go").write_text("package main")
    (folder / "internal" / "plugin.go").write_text("package internal")
    (xds / "filter.yaml").write_text("resources: []")
    return Sources(folder=folder, filter_yaml=xds / "filter.yaml", output=folder / "out.bin")


class Heard:
    """What a watcher said."""

    def __init__(self) -> None:
        self.count = 0
        self.told: list[str] = []
        self._lock = threading.Lock()

    def changed(self) -> None:
        with self._lock:
            self.count += 1


def watching(sources: Sources, heard: Heard) -> Watcher:
    return Watcher(sources, changed=heard.changed, tell=heard.told.append)


def test_what_was_saved_with_the_same_content_is_no_change(sources: Sources):
    before, look = sources.read(), sources.look()
    path = sources.folder / "main.go"
    beside = path.with_suffix(".new")
    beside.write_text(path.read_text())
    beside.replace(path)
    assert sources.look() != look
    assert sources.changed(before, sources.read()) == ()


def test_changes_are_named_as_people_do(sources: Sources):
    before = sources.read()
    (sources.folder / "internal" / "plugin.go").write_text("package other")
    (sources.folder / "new.go").write_text("package main")
    (sources.folder / "main.go").unlink()
    assert sources.changed(before, sources.read()) == ("internal/plugin.go", "main.go", "new.go")
    assert not sources.is_only_configured(before, sources.read())


def test_a_change_of_the_configuration_alone(sources: Sources):
    before = sources.read()
    sources.filter_yaml.write_text("resources: [1]")
    assert sources.changed(before, sources.read()) == ("filter.yaml",)
    assert sources.is_only_configured(before, sources.read())


def test_a_package_may_have_any_name(sources: Sources):
    before = sources.read()
    for name in ("target", "prebuilt"):
        (sources.folder / name).mkdir()
        (sources.folder / name / "x.go").write_text("package x")
    assert sources.changed(before, sources.read()) == ("prebuilt/x.go", "target/x.go")


def test_what_is_no_file_is_not_waited_for(sources: Sources):
    before = sources.read()
    os.mkfifo(sources.folder / "pipe")
    (sources.folder / "zero").symlink_to("/dev/zero")
    (sources.folder / "gone").symlink_to("nowhere")
    assert sources.read() == before


@pytest.mark.parametrize(
    "name",
    [
        *(".main.go.swp", "main.go~", "#main.go#", ".git/index", "node_modules/a.js", "out.bin", "x.wasm", "target/debug/x"),
        *("sedQuj8m6", "4913", "main.go___jb_tmp___", "main.go.bak"),
    ],
)
def test_what_is_no_source(sources: Sources, name: str):
    before = sources.read()
    path = sources.folder / name
    path.parent.mkdir(exist_ok=True, parents=True)
    path.write_text("anything")
    if name.startswith("target/"):
        (sources.folder / "target" / "CACHEDIR.TAG").touch()  # as Cargo does
    assert sources.read() == before


def test_a_save_of_200_files_is_told_at_once(sources: Sources):
    heard = Heard()
    with watching(sources, heard):
        for number in range(200):
            (sources.folder / f"f{number}.go").write_text("package main")
        until(lambda: heard.count and len(sources.look()) == 203)
    assert heard.told == []


def test_a_folder_that_is_deleted_and_made_again(sources: Sources):
    heard = Heard()
    with watching(sources, heard):
        shutil.rmtree(sources.folder)
        until(lambda: any("is gone; waiting for it" in text for text in heard.told))
        count = heard.count
        sources.folder.mkdir()
        (sources.folder / "main.go").write_text("package main")
        until(lambda: heard.count > count)
        count = heard.count
        (sources.folder / "main.go").write_text("package main // by an event of the new folder")
        until(lambda: heard.count > count)
    assert len(heard.told) == 1


def test_without_file_events_it_looks_and_says_so_once(sources: Sources, monkeypatch: pytest.MonkeyPatch):
    """As on a network mount."""
    heard = Heard()
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)

    def silent(*_: object, stop_event: threading.Event, **__: object) -> object:
        while not stop_event.wait(0.05):
            yield set()

    monkeypatch.setattr("watchfiles.watch", silent)
    with watching(sources, heard):
        for number in range(3):
            count = heard.count
            (sources.folder / "main.go").write_text(f"package main // {number}")
            until(lambda count=count: heard.count > count)
    assert heard.told == ["no file events for what was saved: looking every 0.05 s"]


def test_where_the_system_has_no_more_events(sources: Sources, monkeypatch: pytest.MonkeyPatch):
    heard = Heard()
    monkeypatch.setattr(module, "LOOK_EVERY_S", 0.05)

    def none(*_: object, **__: object) -> object:
        raise OSError(errno.ENOSPC, "OS file watch limit reached")

    monkeypatch.setattr("watchfiles.watch", none)
    with watching(sources, heard):
        for number in range(3):
            count = heard.count
            (sources.folder / "main.go").write_text(f"package main // {number}")
            until(lambda count=count: heard.count > count)
    assert len(heard.told) == 1
    assert "OS file watch limit reached): looking every 0.05 s" in heard.told[0]


def test_the_real_limit_of_file_events():
    """All inotify instances of a user are taken; another one's, if we can be another one: who else is at work here needs them."""
    said = as_somebody_else(WITHOUT_EVENTS)
    assert "looking every" in said
    assert said.endswith("heard\n")
