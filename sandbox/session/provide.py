"""Get the Envoy that the settings name, where this machine does not have it, into the user's cache."""

import contextlib
import shutil
from collections.abc import Iterator

from sandbox.envoy.binary import find_cached, find_program
from sandbox.envoy.fetch import fetch_program
from sandbox.events.verb import Event
from sandbox.files import make_private_folder, temporary_folder
from sandbox.session.cache import ELSEWHERE, locked_cache
from sandbox.session.context import Context
from sandbox.session.reporting import report

_MEANWHILE = ".fetch."


def provide_envoy(context: Context) -> Iterator[Event]:
    """Fetch Envoy's program, unless it is here or a stack runs, which keeps its own. Takes as long as that takes.

    Raises: PreconditionError when it can't be had.
    """
    version = context.settings.envoy
    if find_program(version) is None and context.engine.find().phase not in {"running", "starting"}:
        yield from report("fetch", f"Envoy {version}", _fetch(version), None)


def _fetch(version: str) -> Iterator[int]:
    command = f"sandbox up --envoy {version}"
    with locked_cache(command, timeout_s=-1) as cache:
        if find_cached(version):  # another command was quicker
            return
        for left in cache.root.glob(f"{_MEANWHILE}*"):  # by a command that was killed
            shutil.rmtree(left, ignore_errors=True)
        program = cache.envoy(version)
        make_private_folder(program.parent, hint=f"{ELSEWHERE} {command}")
        try:
            with contextlib.suppress(OSError):
                program.unlink()  # others could have changed it
            with temporary_folder(cache.root, prefix=_MEANWHILE) as folder:
                yield from fetch_program(version, program, folder)
        finally:
            with contextlib.suppress(OSError):
                program.parent.rmdir()  # if it is empty
