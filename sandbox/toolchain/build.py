"""Build a filter: by Go, by TinyGo, or by whatever command the project has. The result goes into the store."""

import hashlib
import os
import tempfile
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from sandbox.errors import BuildError, ConfigError, PreconditionError
from sandbox.files import temporary_folder
from sandbox.toolchain.check.module import read_module
from sandbox.toolchain.check.reader import WasmError
from sandbox.toolchain.compilers import prepare_call
from sandbox.toolchain.module_file import read_module_file
from sandbox.toolchain.process import BuildCancelledError, run
from sandbox.toolchain.recipe import Built, Recipe, Toolchain
from sandbox.toolchain.said import explain, shown
from sandbox.toolchain.store import Store
from sandbox.workspace import current_folder

_MODULE = "filter.wasm"


def build(recipe: Recipe, *, toolchain: Toolchain, store: Store, cancelled: threading.Event) -> Built:
    """Build a filter. Whatever interrupts it, no process and no temporary file is left.

    Raises: BuildCancelledError once `cancelled` is set; BuildError when the compiler fails; PreconditionError when there is none,
    or something cannot be written; ConfigError when there is no folder with sources, or what a command wrote is no file.
    """
    if not os.path.isdir(recipe.source):  # noqa: PTH112 - before Python 3.14 the method raises in a closed folder
        where = shown(recipe.source, current_folder())
        raise ConfigError(
            f"there is no folder {where} to build the filter from",
            hint="sandbox new my-filter, or in sandbox.yaml: filter: {source: FOLDER}",
        )
    store.prepare()
    with build_folder() as folder:
        output = folder / _MODULE
        call = prepare_call(recipe, toolchain, output=output, temporary=folder)
        if cancelled.is_set():
            raise BuildCancelledError
        ran = run(call.command, folder=call.folder, environment=call.environment, cancelled=cancelled)
        if ran.returncode != 0:
            raise explain(call, ran.returncode, ran.lines, seen_from=current_folder())
        if toolchain == "command" and recipe.output:
            module = _read(recipe.output)
        else:
            module = read_module_file(output)
            _check_whole(module, folder)
        return Built(
            path=store.put(module),
            sha256=hashlib.sha256(module).hexdigest(),
            size_bytes=len(module),
            elapsed_s=ran.elapsed_s,
            toolchain=toolchain,
            version=call.version,
        )


def _check_whole(module: bytes, folder: Path) -> None:
    """On a full disk Go 1.26 writes as much of a module as fits, and says that all is well."""
    try:
        read_module(module)
    except WasmError as error:
        if error.kind == "truncated":
            message = f"the compiler wrote a part of a module: no space is left in {folder.parent}"
            raise PreconditionError(message, details=error.text, hint=f"df -h {folder.parent}") from error


def _read(output: Path) -> bytes:
    try:
        return read_module_file(output)
    except ConfigError as error:
        if not isinstance(error.__cause__, FileNotFoundError):
            raise
        where = shown(output, current_folder())
        raise BuildError(f"the build command wrote no {where}", hint="sandbox.yaml: filter: {output: FILE}") from None


@contextmanager
def build_folder() -> Iterator[Path]:
    """A folder for all that a build writes meanwhile.

    Raises: PreconditionError when none can be made.
    """
    with ExitStack() as stack:
        try:
            folder = stack.enter_context(temporary_folder(Path(tempfile.gettempdir()), prefix="sandbox-build-"))
        except OSError as error:
            message = f"there is no folder for temporary files: {error.strerror}"
            raise PreconditionError(message, hint="TMPDIR=/a/folder/you/own sandbox build") from error
        yield folder
