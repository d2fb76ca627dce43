"""`check`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import Output, OutputOption
from sandbox.errors import RefusedError


@app.command(epilog="Examples: sandbox check filter.wasm · sandbox check filter.wasm --envoy 1.38 · sandbox check x.wasm -o json")
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A Wasm module, by any compiler.", show_default=False)],
    *,
    envoy: Annotated[
        str | None,
        typer.Option("--envoy", help="For which Envoy, 1.36 to 1.40.  [default: the sandbox's own]", show_default=False),
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Say what a filter is, and whether Envoy would take it."""
    from sandbox.session.check import check as judge_file
    from sandbox.view.check import render_report
    from sandbox.view.terminal import print_json, stdout

    report = judge_file(file, envoy=envoy)
    if output is Output.JSON:
        print_json({"file": str(file), **asdict(report)})
    else:
        stdout().print(render_report(report))
    if report.reason:
        raise typer.Exit(RefusedError.exit_code)
