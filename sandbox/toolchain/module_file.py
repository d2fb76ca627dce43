"""The file of a module, read with care: whatever is at its path, nothing blocks, and nothing of a large file is read."""

import os
import stat
from pathlib import Path

from sandbox.errors import ConfigError
from sandbox.stack import MAX_MODULE_BYTES

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def read_module_file(file: Path) -> bytes:
    """The content of a regular file of at most `MAX_MODULE_BYTES`. Never waits for anybody, and reads nothing of a larger one.

    Raises: ConfigError, also when the file changes meanwhile: what was read would be neither the old nor the new.
    """
    hint = f"ls -l {file}"
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise ConfigError(f"cannot read {file}: {reason}", hint=hint) from error
    try:
        before = os.fstat(handle)
        if not stat.S_ISREG(before.st_mode):
            what = next((what for is_kind, what in _KINDS if is_kind(before.st_mode)), "something else")
            raise ConfigError(f"{file} is {what}, not a file", hint=hint)
        if before.st_size > MAX_MODULE_BYTES:
            raise ConfigError(f"{file} has {before.st_size:,} bytes; at most {MAX_MODULE_BYTES:,} are loaded", hint=hint)
        with open(handle, "rb", closefd=False) as opened:
            content = opened.read(MAX_MODULE_BYTES + 1)
        after = os.fstat(handle)
    except OSError as error:
        raise ConfigError(f"cannot read {file}: {error.strerror}", hint=hint) from error
    finally:
        os.close(handle)
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or len(content) != after.st_size:
        raise ConfigError(f"{file} changed while it was read", hint=f"sandbox check {file}")
    return content
