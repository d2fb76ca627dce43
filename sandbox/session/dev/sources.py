"""What a filter is made of, by its content: whether it is another one, whatever happened to its files meanwhile."""

import contextlib
import hashlib
import os
import re
import stat
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

_OTHERS_FOLDERS = frozenset({"node_modules", "zig-out", "__pycache__"})
_CACHE_MARK = "CACHEDIR.TAG"
"""Is in folders that are made by programs, as Cargo's `target`. Source: bford.info/cachedir."""
_NO_SOURCE = re.compile(r"[.#].*|.*(\.wasm|\.swp|\.swx|\.tmp|\.bak|\.orig|~|___jb_(tmp|old)___)|sed\w{6}|4913", re.DOTALL)
"""What is built, and what programs that save have beside a file for a moment: JetBrains', GNU sed and Vim among them."""
_WHOLE_BYTES = 4 << 20
"""Larger files are told apart by size and time."""

Look = Mapping[str, tuple[int, int, int]]
"""Time, size and inode of each file, by its path: cheap to take, and another one after every save."""
Snapshot = Mapping[str, str]
"""The content of each file as a hash, by its path."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """The folder with the sources, and the filter's configuration. `output` is what is built, which is no source."""

    folder: Path
    filter_yaml: Path
    output: Path | None = None

    @property
    def is_there(self) -> bool:
        """Whether there is such a folder now."""
        return self.folder.is_dir()

    def look(self) -> Look:
        """See what is there, without reading it."""
        return {str(path): (about.st_mtime_ns, about.st_size, about.st_ino) for path, about in self._files()}

    def read(self) -> Snapshot:
        """Read all of it."""
        found = {}
        for path, about in self._files():
            with contextlib.suppress(OSError):  # gone meanwhile
                found[str(path)] = _digest(path, about)
        return found

    def changed(self, before: Snapshot, after: Snapshot) -> tuple[str, ...]:
        """The files that are others, gone or new, as a person calls them."""
        paths = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
        return tuple(self._name(Path(path)) for path in paths)

    def is_only_configured(self, before: Snapshot, after: Snapshot) -> bool:
        """Whether nothing but the configuration is another one."""
        own = str(self.filter_yaml)
        return all(before.get(path) == after.get(path) for path in before.keys() | after.keys() if path != own)

    def _name(self, path: Path) -> str:
        return str(path.relative_to(self.folder)) if path.is_relative_to(self.folder) else path.name

    def _files(self) -> Iterator[tuple[Path, os.stat_result]]:
        for path in self._paths():
            with contextlib.suppress(OSError):  # gone meanwhile
                about = path.stat()
                if stat.S_ISREG(about.st_mode):  # and no pipe, which would be waited for
                    yield path, about

    def _paths(self) -> Iterator[Path]:
        yield self.filter_yaml
        for folder, folders, names in os.walk(self.folder):
            if _CACHE_MARK in names:
                folders.clear()
                continue
            folders[:] = [name for name in folders if name not in _OTHERS_FOLDERS and not name.startswith(".")]
            for name in names:
                path = Path(folder, name)
                if not _NO_SOURCE.fullmatch(name) and path != self.output:
                    yield path


def _digest(path: Path, about: os.stat_result) -> str:
    if about.st_size > _WHOLE_BYTES:
        return f"{about.st_size}-{about.st_mtime_ns}"
    return hashlib.sha256(path.read_bytes()).hexdigest()
