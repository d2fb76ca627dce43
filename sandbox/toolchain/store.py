"""Modules that were built, by content: the same bytes are one file, and the newest stay."""

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sandbox.files import make_private_folder, write_atomic

KEPT = 16
KEPT_BYTES = 256 * 1024 * 1024
_HINT = "SANDBOX_STATE_DIR=/a/folder/you/own sandbox build"


@dataclass(frozen=True, slots=True)
class Store:
    """A folder of modules, `<SHA-256>.wasm`, readable for their owner only. Several processes may use it at once."""

    root: Path

    def prepare(self) -> None:
        """Have the folder there.

        Raises: PreconditionError when nothing can be written to it.
        """
        make_private_folder(self.root, hint=_HINT)

    def put(self, module: bytes) -> Path:
        """Keep a module, as the newest, and remove the oldest above `KEPT` files or `KEPT_BYTES`.

        Raises: PreconditionError when it cannot be written.
        """
        self.prepare()  # a `down --volumes` may have removed it while the module was built
        path = self.root / f"{hashlib.sha256(module).hexdigest()}.wasm"
        write_atomic(path, module)
        left, room = KEPT - 1, KEPT_BYTES - len(module)
        for other, size in self._by_age():
            if other == path:
                continue
            left, room = left - 1, room - size
            if left < 0 or room < 0:
                with contextlib.suppress(OSError):
                    other.unlink()
        return path

    def _by_age(self) -> Iterator[tuple[Path, int]]:
        """Each file and its size, the newest first: also what a process left that was killed while it wrote."""
        found = []
        for path in self.root.iterdir():
            with contextlib.suppress(OSError):  # another process may have removed it
                about = path.lstat()
                found.append((about.st_mtime_ns, path, about.st_size))
        yield from ((path, size) for _, path, size in sorted(found, reverse=True))
