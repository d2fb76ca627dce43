"""The user's cache while something is put there: by one command at a time."""

import contextlib
from collections.abc import Iterator

from sandbox.errors import PreconditionError
from sandbox.files import make_private_folder
from sandbox.workspace import Cache, find_cache

ELSEWHERE = "XDG_CACHE_HOME=/a/folder/you/own"
"""Before a command: where the cache is to be then."""


@contextlib.contextmanager
def locked_cache(command: str, *, timeout_s: float) -> Iterator[Cache]:
    """Let nobody else put anything there; -1 s is however long another takes. `command` is for hints.

    Raises: PreconditionError when there can be no cache, or another command takes longer.
    """
    from filelock import FileLock, Timeout

    hint = f"{ELSEWHERE} {command}"
    cache = find_cache()
    if cache is None:
        raise PreconditionError("there is no home folder to keep it in", hint=hint)
    make_private_folder(cache.root, hint=hint)
    lock = FileLock(cache.lock, mode=0o600, timeout=timeout_s)
    try:
        lock.acquire()
    except Timeout as error:
        raise PreconditionError(f"another sandbox command is putting something into {cache.root}", hint=command) from error
    except OSError as error:
        raise PreconditionError(f"cannot lock {cache.lock}: {error.strerror}", hint=f"ls -l {cache.lock}") from error
    try:
        yield cache
    finally:
        lock.release()
