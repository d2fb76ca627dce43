"""How each compiler is called, so that the same source and compiler give the same bytes in any folder, with any cache."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from sandbox.errors import PreconditionError
from sandbox.files import make_private_folder
from sandbox.toolchain.find import GO_HINT, TINYGO_HINT, Tool, find_go, find_tinygo
from sandbox.toolchain.recipe import Recipe, Toolchain
from sandbox.workspace import Cache, find_cache

GO_BUILD = ("build", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=")
TINYGO_BUILD = ("build", "-target=wasip1", "-buildmode=c-shared", "-scheduler=none", "-no-debug", "-opt=z")
"""As filter/build.sh has them; a test compares."""

CACHE_HINT = "GOCACHE=/a/folder/you/own/build GOMODCACHE=/a/folder/you/own/modules sandbox build"
_ASK_TIMEOUT_S = 10.0
_SHELL = "/bin/sh"
_OF_THE_USER = ("GOPROXY", "GOSUMDB", "GOPRIVATE", "GONOPROXY", "GONOSUMDB", "GOINSECURE", "GOVCS", "GOAUTH")
"""Where modules come from. Whatever else is set must not reach the bytes."""
_NOBODYS = ("GOROOT", "GOEXPERIMENT", "GOFIPS140", "GOWASM", "GOOS", "GOARCH", "TINYGOROOT")
_FIXED = {"GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off", "CGO_ENABLED": "0"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """A compiler for a recipe: the program and its words, where it runs, its variables, and its version.

    `go` is how a user would call the Go of it.
    """

    toolchain: Toolchain
    command: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    version: str
    go: str = "go"


def prepare_call(recipe: Recipe, toolchain: Toolchain, *, output: Path, temporary: Path) -> Call:
    """Find the compiler that builds `recipe` into `output`; what it writes meanwhile goes below `temporary`.

    Raises: PreconditionError when there is none, or no place for its cache.
    """
    here = {"TMPDIR": str(temporary)}
    if toolchain == "command":
        environment = {"PYTHON": sys.executable, **os.environ, **here}
        command = (_SHELL, "-c", recipe.command)
        return Call(toolchain=toolchain, command=command, folder=recipe.root, environment=environment, version="")
    tinygo = find_compiler("tinygo") if toolchain == "tinygo" else None
    go = find_compiler("go")
    environment = {**_go_environment(go), **here, "GOTMPDIR": str(temporary)}
    if tinygo is None:
        environment |= {"GOOS": "wasip1", "GOARCH": "wasm"}
    compiler, words = (tinygo, TINYGO_BUILD) if tinygo else (go, GO_BUILD)
    program = Path(environment["GOROOT"], "bin", "go")  # the `go` of a wheel is a script, which starts a Python first
    if tinygo or not program.is_file():
        program = compiler.program
    return Call(
        toolchain=toolchain,
        command=(str(program), *words, "-o", str(output), "."),
        folder=recipe.source,
        environment=environment,
        version=compiler.version,
        go="go" if _is_on_path(go) else str(go.program),
    )


def find_compiler(toolchain: Toolchain) -> Tool:
    """Go or TinyGo.

    Raises: PreconditionError when this machine has none of use.
    """
    tool = find_tinygo() if toolchain == "tinygo" else find_go()
    if tool is None:
        name, hint = ("TinyGo", TINYGO_HINT) if toolchain == "tinygo" else ("Go", GO_HINT)
        raise PreconditionError(f"there is no {name} on this machine", hint=hint)
    return tool


def _is_on_path(tool: Tool) -> bool:
    return str(tool.program.parent) in os.environ.get("PATH", "").split(os.pathsep)


def _go_environment(go: Tool) -> dict[str, str]:
    """The user's variables, but those that would reach the bytes."""
    inherited = {name: value for name, value in os.environ.items() if name not in _NOBODYS}
    asked = _ask(go, {**inherited, **_FIXED})
    environment = {**inherited, **asked, **_FIXED, **_caches(), "GOENV": "off"}
    if not os.environ.get("GOMODCACHE"):
        environment["GOFLAGS"] = "-modcacherw"  # else `rm -r` could not remove it
    environment["PATH"] = os.pathsep.join((f"{asked['GOROOT']}/bin", os.environ.get("PATH", "")))
    return environment


def _ask(go: Tool, environment: Mapping[str, str]) -> dict[str, str]:
    """What is set for Go, in the environment or by `go env -w`. Asked outside of any module."""
    command = (go.program, "env", "-json", "GOROOT", *_OF_THE_USER)
    try:
        done = subprocess.run(
            command,
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_ASK_TIMEOUT_S,
            check=True,
        )
        return {name: str(value) for name, value in json.loads(done.stdout).items()}
    except subprocess.TimeoutExpired as error:
        raise PreconditionError(f"{go.program} does not answer within {_ASK_TIMEOUT_S:g} s", hint=GO_HINT) from error
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip()
        raise PreconditionError(f"{go.program} env does not work", details=said, hint="go env") from error
    except (OSError, ValueError, AttributeError) as error:
        raise PreconditionError(f"{go.program} does not say its settings: {error}", hint=GO_HINT) from error


def _caches() -> dict[str, str]:
    """Where Go keeps what it compiled and downloaded: in the user's cache folder of ours, unless a variable says where.

    Raises: PreconditionError when nothing can be written there.
    """
    cache = find_cache()
    wanted = {name: os.environ.get(name) or _in_cache(cache, name) for name in ("GOCACHE", "GOMODCACHE")}
    if "HOME" not in os.environ and cache:
        wanted |= {"XDG_CACHE_HOME": str(cache.root.parent)}  # TinyGo asks for one of the two
    return wanted


def _in_cache(cache: Cache | None, name: str) -> str:
    if cache is None:
        raise PreconditionError("there is no home folder to keep Go's caches in", hint=CACHE_HINT)
    folder = cache.go_build if name == "GOCACHE" else cache.go_modules
    return str(make_private_folder(folder, hint=CACHE_HINT))
