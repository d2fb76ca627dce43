"""`new`: a project of one's own, made whole or not at all, and never over anything. Needs no network and runs no tool."""

import contextlib
import errno
import os
import re
import shlex
import stat
from collections.abc import Mapping
from pathlib import Path

from sandbox.errors import ConfigError, PreconditionError
from sandbox.events.filter import ProjectMade
from sandbox.files import temporary_folder
from sandbox.session.new_files import render_project

MAX_NAME_CHARS = 63
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{,{MAX_NAME_CHARS - 1}}}")
_NAMED_IN_ERRORS = 5
_TAKEN = (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR)
"""What the system says of a name that somebody else has taken meanwhile."""


def new(folder: str, *, language: str) -> ProjectMade:
    """Make a project in `folder`, which must not be there or be empty. `language` is one of `LANGUAGES`.

    Whatever interrupts it, nothing is left of the project, and what was there is as it was.

    Raises: ConfigError when the folder cannot be that of a new project; PreconditionError when it cannot be written.
    """
    target = _find_place(folder)
    files = render_project(target.name, language)
    try:
        if _is_there(target):
            _write(target, files)
        else:
            _make(target, files)
    except OSError as error:
        if error.errno in _TAKEN:
            raise ConfigError(
                f"{target} was made by somebody else meanwhile", hint=f"ls -la {shlex.quote(str(target))}"
            ) from error
        parent = shlex.quote(str(target.parent))
        raise PreconditionError(f"cannot make {target}: {error.strerror}", hint=f"ls -ld {parent}; df -h {parent}") from error
    return ProjectMade(folder=str(target), language=language, files=tuple(sorted(files)), next_commands=_next(folder, target))


def _find_place(folder: str) -> Path:
    """Where the project goes: links on the way there are followed, the last name is not.

    Raises: ConfigError, PreconditionError.
    """
    try:
        path = Path.cwd() / folder
    except FileNotFoundError:
        raise PreconditionError("the folder that you are in is gone", hint="cd") from None
    try:
        if path.name in ("", "..") or folder in ("", "."):
            path = path.resolve(strict=True)
        parent = path.parent.resolve(strict=True)
        os.scandir(parent).close()
    except FileNotFoundError as error:
        raise ConfigError(f"there is no folder {path.parent}", hint=f"mkdir -p {shlex.quote(str(path.parent))}") from error
    except (OSError, RuntimeError) as error:  # a loop of links is a RuntimeError before Python 3.13
        reason = error.strerror if isinstance(error, OSError) else "it leads in a circle"
        raise ConfigError(f"cannot make a folder in {path.parent}: {reason}", hint="sandbox new my-filter") from error
    if not folder or not _NAME.fullmatch(path.name):
        raise ConfigError(
            f"{path.name if folder else folder!r} cannot be the name of a project",
            details="It becomes part of other names, so it has letters of ASCII, digits and . _ - in it,\n"
            f"{MAX_NAME_CHARS} at most, and begins with a letter or a digit.",
            hint="sandbox new my-filter",
        )
    return parent / path.name


def _is_there(target: Path) -> bool:
    """Whether there is an empty folder.

    Raises: ConfigError when there is anything else; OSError.
    """
    try:
        kind = target.lstat().st_mode
    except FileNotFoundError:
        return False
    if stat.S_ISLNK(kind):
        raise ConfigError(f"{target} is a link; name the folder itself", hint=f"ls -l {shlex.quote(str(target))}")
    if not stat.S_ISDIR(kind):
        raise ConfigError(f"{target} is there, and no folder", hint="sandbox new ANOTHER-NAME")
    names = sorted(os.listdir(target))  # noqa: PTH208 - names are what is wanted
    if names:
        more = len(names) - _NAMED_IN_ERRORS
        listed = ", ".join(names[:_NAMED_IN_ERRORS]) + (f" and {more} more" if more > 0 else "")
        raise ConfigError(f"{target} is not empty: it has {listed}", hint="sandbox new ANOTHER-NAME")
    return True


def _make(target: Path, files: Mapping[str, bytes]) -> None:
    """Write beside it and rename: the system refuses where something that is not empty has got that name meanwhile."""
    with temporary_folder(target.parent, prefix=f".{target.name}.") as beside:
        whole = beside / target.name
        whole.mkdir()
        _write(whole, files)
        whole.rename(target)


def _write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write files into a folder that has none; those that were written are removed if that fails."""
    made: list[Path] = []
    try:
        for name, content in files.items():
            path = folder / name
            for above in reversed([above for above in path.relative_to(folder).parents[:-1] if folder / above not in made]):
                (folder / above).mkdir()
                made.append(folder / above)
            with path.open("xb") as file:
                made.append(path)
                file.write(content)
    except BaseException:
        for path in reversed(made):
            with contextlib.suppress(OSError):
                path.rmdir() if path.is_dir() else path.unlink()
        raise


def _next(folder: str, target: Path) -> tuple[str, ...]:
    """The commands that start the project, where the user is."""
    there = [] if target == Path.cwd() else [f"cd {shlex.quote(folder)}"]
    named = ["unset SANDBOX_PROJECT"] if os.environ.get("SANDBOX_PROJECT") else []  # else it would be another project that starts
    return (*there, *named, "sandbox up", "sandbox dev")
