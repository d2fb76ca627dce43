"""`build`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import Output, OutputOption
from sandbox.cli.show import progress_of


class Toolchains(StrEnum):
    """What builds the filter: one, or each in turn."""

    GO = "go"
    TINYGO = "tinygo"
    BOTH = "both"


@app.command(
    epilog="Examples: sandbox build · sandbox build --toolchain both · sandbox build --save filter.wasm · sandbox build -o json"
)
def build(
    toolchain: Annotated[
        Toolchains | None,
        typer.Option(
            "--toolchain",
            "-t",
            help="The compiler.  [default: the build command of sandbox.yaml, else go]",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        Path | None, typer.Option("--save", "-O", metavar="FILE", help="Put a copy of the module there.", show_default=False)
    ] = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build the filter from its source, and say whether Envoy would take it."""
    from dataclasses import asdict

    from sandbox.events.filter import BuiltModule
    from sandbox.events.stack import Progress
    from sandbox.session.build import build as build_filter
    from sandbox.session.context import open_place
    from sandbox.view.build import render_builds
    from sandbox.view.terminal import print_json, stdout

    events = build_filter(open_place({}), toolchain=toolchain.value if toolchain else None, save=save)
    built: list[BuiltModule] = []
    with progress_of(events) as display:
        for event in events:
            match event:
                case Progress():
                    display.show(event)
                case BuiltModule():
                    built.append(event)
    if output is Output.JSON:
        print_json({"modules": [asdict(module) for module in built], "saved": str(save) if save else None})
    else:
        stdout().print(render_builds(built, saved=save))
