"""Files written whole or not at all, and folders that are there only meanwhile; private to their owner."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from sandbox.errors import PreconditionError

_ELSEWHERE = "SANDBOX_STATE_DIR=/a/folder/you/own sandbox up"


def make_private_folder(path: Path, *, hint: str = _ELSEWHERE) -> Path:
    """Make `path` and its parents; `path` itself is 0700.

    Raises: PreconditionError when it cannot be made or written to.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.chmod(0o700)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as error:
        raise PreconditionError(
            f"cannot write to {path}: {error.strerror}",
            hint=hint,
        ) from error
    return path


@contextlib.contextmanager
def temporary_folder(parent: Path, *, prefix: str) -> Iterator[Path]:
    """A folder that only we can read, gone after the block, also when an interrupt comes while it is made or removed.

    Raises: OSError when it cannot be made.
    """
    folder = parent / f"{prefix}{os.urandom(8).hex()}"
    try:
        folder.mkdir(mode=0o700)
        yield folder
    finally:
        try:
            shutil.rmtree(folder, ignore_errors=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def write_atomic(path: Path, content: bytes, *, mode: int = 0o600) -> None:
    """Replace `path` by rename, so that a reader sees the old content or the new, never half.

    Raises: PreconditionError when the disk is full or the folder is read-only.
    """
    with replacing(path, mode=mode) as file:
        file.write(content)


@contextlib.contextmanager
def replacing(path: Path, *, mode: int = 0o600) -> Iterator[BinaryIO]:
    """A file that takes the place of `path` at the end of the block, or is gone if the block raises.

    Raises: PreconditionError for every OSError of the block, as it is taken for one of writing.
    """
    temporary = path.with_name(f".{path.name}.{os.urandom(8).hex()}")  # known before it is there, for an interrupt
    try:
        try:
            with open(temporary, "x+b", opener=_open_private) as file:
                yield file
            temporary.chmod(mode)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise PreconditionError(
            f"cannot write {path}: {error.strerror}", hint=f"df -h {path.parent}; ls -ld {path.parent}"
        ) from error


def _open_private(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)


def sha256_of(path: Path) -> str | None:
    """The hash of a file's content, in hexadecimal; None when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def remove_unfinished(path: Path) -> None:
    """Remove what a process left that was killed inside `replacing`; nobody may be inside it now."""
    for left in path.parent.glob(f".{path.name}.*"):
        left.unlink(missing_ok=True)


def load_json(path: Path) -> dict[str, Any] | None:
    """Read a JSON object; None when there is no file.

    A file that is empty, truncated or no object is put aside as `<name>.corrupt-<seconds>` and counts as absent: what it
    recorded is asked of the runtime again.

    Raises: PreconditionError when the folder is a file, or another user's.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise PreconditionError(f"cannot read {path}: {error.strerror}", hint=_ELSEWHERE) from error
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        value = None
    if isinstance(value, dict):
        return value
    with contextlib.suppress(OSError):
        path.rename(path.with_name(f"{path.name}.corrupt-{int(time.time())}"))
    return None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON object as `write_atomic` does."""
    write_atomic(path, json.dumps(value, indent=1).encode() + b"\n")


def is_locked(path: Path) -> bool:
    """Whether somebody holds the lock of that file."""
    try:
        handle = os.open(path, os.O_RDONLY)  # all that a read-only file system allows
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)  # two that ask at once do not see each other
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
