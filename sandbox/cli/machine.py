"""`doctor`, `version`, `--version`."""

from dataclasses import asdict
from typing import Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import Output, OutputOption
from sandbox.errors import PreconditionError


def _show_version(asked: bool) -> None:
    if asked:
        from sandbox import __version__

        typer.echo(f"sandbox {__version__}")
        raise typer.Exit


@app.callback()
def root(
    *,
    show_version: Annotated[
        bool, typer.Option("--version", "-V", callback=_show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Write, run, see and break Envoy Wasm filters on one machine."""


@app.command(epilog="Examples: sandbox doctor · sandbox doctor -o json · sandbox doctor | pbcopy")
def doctor(output: OutputOption = Output.TEXT) -> None:
    """Check what this machine has; made to be pasted."""
    from sandbox.session.doctor.base import FAILED, overall
    from sandbox.session.doctor.run import run_doctor
    from sandbox.view.doctor import render_check
    from sandbox.view.terminal import print_json, stdout

    checks = []
    for check in run_doctor():
        checks.append(check)
        if output is Output.TEXT:
            stdout().print(render_check(check))
    if output is Output.JSON:
        print_json({"state": overall(checks), "checks": [asdict(check) for check in checks]})
    if overall(checks) == FAILED:
        raise typer.Exit(PreconditionError.exit_code)


@app.command(epilog="Examples: sandbox version · sandbox version -o json")
def version(output: OutputOption = Output.TEXT) -> None:
    """Show versions: sandbox, Envoy, Python, filter."""
    import platform

    from sandbox import __version__
    from sandbox.envoy.binary import envoy_version
    from sandbox.session.modules import hash_modules
    from sandbox.workspace import current_folder, find_project

    modules = hash_modules(find_project(current_folder()))
    python = platform.python_version()
    if output is Output.JSON:
        from sandbox.view.terminal import print_json

        print_json({"sandbox": __version__, "envoy": envoy_version(), "python": python, "filter": modules})
    else:
        filters = ", ".join(f"{sha256[:12]} ({kind})" for kind, sha256 in modules.items())
        typer.echo(f"sandbox {__version__}\nenvoy   {envoy_version()}\npython  {python}\nfilter  {filters or '-'}")
