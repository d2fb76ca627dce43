"""Laying filters where Envoy watches: a module first, then what names it, each by rename, so that none is seen half written."""

import contextlib
import errno
from collections.abc import Collection, Iterator
from pathlib import Path

from sandbox.envoy.history import FilterVersion, History, parse_history, render_history
from sandbox.envoy.parking import render_idle, render_parked
from sandbox.envoy.resource import FilterResource
from sandbox.errors import PreconditionError
from sandbox.files import write_atomic
from sandbox.stack import PARKED_NAMES
from sandbox.workspace import RUN_FILTER_YAML, RUN_HISTORY, RUN_MODULES, RUN_PARKED

_MODULE_MODE = 0o400


def first_version(
    resource: FilterResource, module: bytes, *, origin: str, configured_by: str = "", now_s: float
) -> FilterVersion:
    """What the history of a stack begins with."""
    return FilterVersion(
        version=resource.version,
        module_bytes=len(module),
        module_origin=origin,
        configured_by=configured_by,
        since_s=now_s,
        text=resource.text.decode(),
        injected=resource.injected,
    )


def first_files(version: FilterVersion, module: bytes) -> dict[str, bytes]:
    """The files of a folder in which this filter is the first, by name below Envoy's working folder."""
    return {
        f"{RUN_MODULES}/{version.module_sha256}.wasm": module,
        **{_parked(name): render_idle(name) for name in PARKED_NAMES},
        RUN_FILTER_YAML: version.text.encode(),
        RUN_HISTORY: render_history(History(versions=(version,), seed=version.version)),  # last: it says that all was laid
    }


def _parked(name: str) -> str:
    return f"{RUN_PARKED}/{name}.yaml"


class Stage:
    """The working folder of an Envoy, as far as its filter goes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read_history(self) -> History | None:
        """Which filters there were; None where nothing was laid out yet."""
        try:
            return parse_history((self._folder / RUN_HISTORY).read_bytes())
        except OSError:
            return None

    def write_history(self, history: History) -> None:
        """Remember, and remove the modules that nothing needs any more.

        Raises: PreconditionError when the folder cannot be written.
        """
        self._write(RUN_HISTORY, render_history(history))
        self._remove_modules(history.modules)

    def has_module(self, sha256: str) -> bool:
        """Whether the module is here."""
        return self._module(sha256).is_file()

    def module_bytes(self, sha256: str) -> int:
        """The size of a module that is here."""
        return self._module(sha256).stat().st_size

    def write_module(self, sha256: str, module: bytes) -> None:
        """Lay a module.

        Raises: PreconditionError when the folder cannot be written.
        """
        self._write(f"{RUN_MODULES}/{sha256}.wasm", module, mode=_MODULE_MODE)

    def lay(self, text: str | bytes) -> None:
        """Make this resource the filter.

        Raises: PreconditionError when the folder cannot be written.
        """
        self._write(RUN_FILTER_YAML, text.encode() if isinstance(text, str) else text)

    def park(self, place: int, text: str, module_sha256: str) -> None:
        """Keep this filter's module compiled at one of the places for that.

        Raises: PreconditionError when the folder cannot be written.
        """
        name = PARKED_NAMES[place]
        self._write(_parked(name), render_parked(name, text, module_sha256))

    def mend(self) -> None:
        """Lay what is to be live by the history: a swap may have been cut off between the one and the other.

        Raises: PreconditionError when the folder cannot be written.
        """
        history, laid = self.read_history(), b""
        with contextlib.suppress(FileNotFoundError):
            laid = (self._folder / RUN_FILTER_YAML).read_bytes()
        if history and laid != history.live.text.encode():
            self.lay(history.live.text)

    def begin(self, version: FilterVersion, module: bytes) -> None:
        """Lay the first filter, whatever was here before.

        Raises: PreconditionError when the folder cannot be written.
        """
        for name, content in first_files(version, module).items():
            self._write(name, content)
        self._remove_modules({version.module_sha256})

    def _module(self, sha256: str) -> Path:
        return self._folder / RUN_MODULES / f"{sha256}.wasm"

    def _write(self, name: str, content: bytes, *, mode: int = 0o600) -> None:
        path = self._folder / name
        with _explained(self._folder):
            path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_atomic(path, content, mode=mode)

    def _remove_modules(self, needed: Collection[str]) -> None:
        with _explained(self._folder):
            for path in (self._folder / RUN_MODULES).iterdir():
                if path.suffix == ".wasm" and path.stem not in needed:
                    path.unlink(missing_ok=True)


@contextlib.contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
        raise PreconditionError(f"cannot write below {folder}: {reason}", hint=f"ls -ld {folder}; df -h {folder}") from error
