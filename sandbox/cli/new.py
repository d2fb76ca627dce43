"""`new`."""

from enum import StrEnum
from typing import Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import Output, OutputOption


class Language(StrEnum):
    """In which the filter begins."""

    GO = "go"
    C = "c"
    ASSEMBLYSCRIPT = "assemblyscript"


@app.command(epilog="Examples: sandbox new my-filter · sandbox new my-filter --lang c · sandbox new . --lang assemblyscript")
def new(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="Its folder: a new one, or an empty one.", show_default=False)],
    language: Annotated[Language, typer.Option("--lang", help="The language of the filter.")] = Language.GO,
    output: OutputOption = Output.TEXT,
) -> None:
    """Make a project of your own, with a filter that works."""
    from dataclasses import asdict

    from sandbox.session.new import new as make
    from sandbox.view.new import render_made
    from sandbox.view.terminal import print_json, stdout

    made = make(folder, language=language.value)
    if output is Output.JSON:
        print_json(asdict(made))
    else:
        stdout().print(render_made(made))
