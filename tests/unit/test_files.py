"""Files that are written whole or not at all, wherever an interrupt comes in between."""

import fcntl
import os
import stat
from pathlib import Path

import pytest

from sandbox.errors import PreconditionError
from sandbox.files import is_locked, replacing, temporary_folder, write_atomic


def files_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("call", ["open", "chmod", "replace"])
def test_an_interrupt_right_after_the_system_did_it_is_an_interrupt(tmp_path, monkeypatch, call):
    """As it comes: a signal is seen when the call returns."""
    path = tmp_path / "note.json"
    path.write_bytes(b"old")
    do = getattr(os, call)

    def interrupted(*words, **options):
        do(*words, **options)
        raise KeyboardInterrupt

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_atomic(path, b"new")
    assert files_in(tmp_path) == {"note.json": b"new" if call == "replace" else b"old"}


def test_what_the_block_raises_leaves_the_old(tmp_path):
    path = tmp_path / "note.json"
    path.write_bytes(b"old")
    with pytest.raises(ValueError, match="no"), replacing(path) as file:
        file.write(b"half")
        raise ValueError("no")
    assert files_in(tmp_path) == {"note.json": b"old"}


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_its_mode_is_the_one_asked_for_and_private_until_it_is_whole(tmp_path, mode):
    path = tmp_path / "note.json"
    with replacing(path, mode=mode):
        [unfinished] = tmp_path.iterdir()
        assert stat.S_IMODE(unfinished.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.parametrize("call", ["mkdir", "rmdir"])
def test_an_interrupt_as_a_temporary_folder_is_made_or_removed_leaves_none(tmp_path, monkeypatch, call):
    do, interrupts = getattr(os, call), [KeyboardInterrupt]

    def interrupted(*words, **options):
        do(*words, **options)
        if interrupts:
            raise interrupts.pop()

    monkeypatch.setattr(os, call, interrupted)
    with pytest.raises(KeyboardInterrupt), temporary_folder(tmp_path, prefix=".any.") as folder:
        (folder / "inner").mkdir()
        (folder / "inner" / "file").write_bytes(b"half")
    assert list(tmp_path.iterdir()) == []


def test_a_temporary_folder_is_private_and_gone_whatever_the_block_raises(tmp_path):
    with pytest.raises(ValueError, match="no"), temporary_folder(tmp_path, prefix=".any.") as folder:
        assert folder.name.startswith(".any.")
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        raise ValueError("no")
    assert list(tmp_path.iterdir()) == []


def test_there_is_no_room_for_a_temporary_folder(tmp_path):
    with pytest.raises(FileNotFoundError), temporary_folder(tmp_path / "none", prefix=".any."):
        pass


def test_there_is_no_such_folder(tmp_path):
    with pytest.raises(PreconditionError, match="No such file or directory"):
        write_atomic(tmp_path / "none" / "note.json", b"new")


def test_whether_somebody_holds_a_lock_and_not_whether_somebody_asks(tmp_path):
    path = tmp_path / "lock"
    assert not is_locked(path)
    with path.open("w") as holder:
        fcntl.flock(holder, fcntl.LOCK_EX)
        assert is_locked(path)
        fcntl.flock(holder, fcntl.LOCK_SH)  # as another that asks
        assert not is_locked(path)
