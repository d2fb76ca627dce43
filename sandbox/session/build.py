"""`build`: the filter from its source, judged before anybody is asked to run it. Needs no stack."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from sandbox.errors import ConfigError, RefusedError
from sandbox.events.filter import BuiltModule
from sandbox.events.stack import Progress
from sandbox.events.verb import Event
from sandbox.files import write_atomic
from sandbox.session.check import check_bytes, nearest
from sandbox.session.context import Place
from sandbox.toolchain.build import build as compile_filter
from sandbox.toolchain.check.report import OK
from sandbox.toolchain.compilers import find_compiler
from sandbox.toolchain.module_file import read_module_file
from sandbox.toolchain.recipe import Built, Recipe, Toolchain
from sandbox.toolchain.store import Store

Choice = Literal["go", "tinygo", "both"]
_TOOLCHAINS: dict[Choice, tuple[Toolchain, ...]] = {"go": ("go",), "tinygo": ("tinygo",), "both": ("go", "tinygo")}
_NAMES: dict[Toolchain, str] = {"go": "Go", "tinygo": "TinyGo", "command": "the project's command"}
_SAVED_MODE = 0o644


def build(
    place: Place,
    *,
    toolchain: Choice | None,
    save: Path | None = None,
    envoy: str | None = None,
    cancelled: threading.Event | None = None,
) -> Iterator[Event]:
    """Build the filter, by both compilers one after the other where that is asked for; ends with a `BuiltModule` of each.

    `toolchain` None: the project's command where it has one, else Go. `save` is where a copy goes. `envoy` is for whom it is
    judged, None: the one of the settings. Whoever sets `cancelled`, in another thread, ends it.

    Raises: BuildCancelledError; BuildError; RefusedError when Envoy would refuse the module; PreconditionError; ConfigError.
    """
    recipe = recipe_of(place)
    toolchains = _choose(recipe, toolchain)
    if save and len(toolchains) > 1:
        raise ConfigError("two modules cannot be saved as one file", hint=f"sandbox build --toolchain tinygo --save {save}")
    for name in toolchains[1:]:
        find_compiler(name)  # whoever has waited for the first should not learn only then that there is no second
    store = Store(place.state.builds)
    built = []
    for name in toolchains:
        item = f"the filter with {_NAMES[name]}"
        yield _progress(item, finished=False)
        made = compile_filter(recipe, toolchain=name, store=store, cancelled=cancelled or threading.Event())
        yield _progress(item, finished=True)
        built.append(_judge(made, envoy or place.settings.envoy))
    if save:
        write_atomic(save, read_module_file(Path(built[0].path)), mode=_SAVED_MODE)
    yield from built


def recipe_of(place: Place) -> Recipe:
    """What the project's filter is built from, by its sandbox.yaml."""
    root, said = place.project.root, place.settings.filter
    return Recipe(root=root, source=root / said.source, command=said.build, output=root / said.output if said.output else None)


def _choose(recipe: Recipe, choice: Choice | None) -> tuple[Toolchain, ...]:
    if choice is None and recipe.command:
        return ("command",)
    return _TOOLCHAINS[choice or "go"]


def _progress(item: str, *, finished: bool) -> Progress:
    return Progress(kind="build", item=item, detail="", done_bytes=None, total_bytes=None, finished=finished)


def _judge(built: Built, envoy: str) -> BuiltModule:
    report = check_bytes(read_module_file(built.path), envoy=nearest(envoy))
    if report.reason:
        raise RefusedError(
            f"Envoy {report.envoy} would refuse what was built: {report.reason.text}",
            details=report.reason.fix,
            hint=f"sandbox check {built.path}",
        )
    problem = next((finding for finding in report.findings if finding.level != OK), None)
    return BuiltModule(
        path=str(built.path),
        sha256=built.sha256,
        size_bytes=built.size_bytes,
        build_s=round(built.elapsed_s, 3),
        toolchain=built.toolchain,
        version=built.version or report.toolchain or "",
        level=report.level,
        load_s=report.load_s,
        problem=problem.text if problem else None,
        fix=problem.fix if problem else "",
    )
