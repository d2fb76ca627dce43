"""What the containers mount: files of the state folder that users other than ours have to read."""

import shutil
from collections.abc import Mapping

from sandbox.errors import PreconditionError
from sandbox.files import make_private_folder, write_atomic
from sandbox.workspace import State

MOUNTED_TOKEN = "console.token"  # noqa: S105 - a file's name


def lay_out(state: State, files: Mapping[str, bytes]) -> None:
    """Write `files`, by relative name, and the console's token. Only the state folder above keeps people out.

    Raises: PreconditionError when there is no room.
    """
    shutil.rmtree(state.mounts, ignore_errors=True)
    for folder in (state.root, state.logs):
        make_private_folder(folder)
    try:
        token = {MOUNTED_TOKEN: state.console_token.read_bytes()}
        for name, content in {**files, **token}.items():
            path = state.mounts / name
            for folder in reversed(path.relative_to(state.root).parents[:-1]):
                (state.root / folder).mkdir(mode=0o755, exist_ok=True)
            write_atomic(path, content, mode=0o644)
    except OSError as error:
        raise PreconditionError(f"cannot write to {state.mounts}: {error.strerror}", hint=f"df -h {state.root}") from error
