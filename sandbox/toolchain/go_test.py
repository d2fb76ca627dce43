"""`go test` in a filter's sources, as on any machine: not as Wasm."""

import threading

from sandbox.toolchain.build import build_folder
from sandbox.toolchain.compilers import prepare_call
from sandbox.toolchain.process import run
from sandbox.toolchain.recipe import Recipe
from sandbox.toolchain.said import explain_tests
from sandbox.workspace import current_folder


def run_tests(recipe: Recipe, *, cancelled: threading.Event) -> float:
    """Run them, for so many seconds.

    Raises: BuildError with what was said where one fails; as `build` else.
    """
    with build_folder() as folder:
        call = prepare_call(recipe, "go", output=folder / "unused", temporary=folder)
        environment = {name: value for name, value in call.environment.items() if name not in {"GOOS", "GOARCH"}}
        command = (call.command[0], "test", "./...")
        ran = run(command, folder=call.folder, environment=environment, cancelled=cancelled)
    if ran.returncode != 0:
        raise explain_tests(call, ran.lines, seen_from=current_folder())
    return ran.elapsed_s
