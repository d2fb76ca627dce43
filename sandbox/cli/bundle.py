"""`bundle save`, `bundle load`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption
from sandbox.cli.show import progress_of

if TYPE_CHECKING:
    from sandbox.events.verb import Event

bundle = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode=None,
    help="Carry the stack to a machine without a network, in one file.",
    epilog="Examples: sandbox bundle save room.bundle · sandbox bundle load room.bundle",
)
app.add_typer(bundle, name="bundle")

FileArgument = Annotated[Path, typer.Argument(metavar="FILE", help="The bundle.", show_default=False)]


@bundle.command(epilog="Examples: sandbox bundle save room.bundle · sandbox bundle save room.bundle --no-images")
def save(
    file: FileArgument,
    no_images: Annotated[bool, typer.Option("--no-images", help="Leave Docker's images out.")] = False,
    engine: EngineOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Pack the Docker images, Envoy and the compiled filters; get what is missing."""
    from sandbox.session.bundle.save import save as pack
    from sandbox.session.context import open_place

    _show(pack(open_place({"engine": engine}), file, with_images=not no_images), output)


@bundle.command(epilog="Examples: sandbox bundle load room.bundle")
def load(file: FileArgument, engine: EngineOption = None, output: OutputOption = Output.TEXT) -> None:
    """Check a bundle, then load from it what this machine lacks."""
    from sandbox.session.bundle.load import load as unpack
    from sandbox.session.context import open_place

    _show(unpack(open_place({"engine": engine}), file), output)


def _show(events: "Iterator[Event]", output: Output) -> None:
    from dataclasses import asdict

    from sandbox.events.bundle import Bundled
    from sandbox.events.stack import Notice, Progress
    from sandbox.view.bundle import render_bundle
    from sandbox.view.steps import render_notice
    from sandbox.view.terminal import print_json, stderr, stdout

    talk = stderr()
    with progress_of(events) as display:
        for event in events:
            match event:
                case Progress():
                    display.show(event)
                case Notice():
                    talk.print(render_notice(event))
                case Bundled() if output is Output.JSON:
                    print_json(asdict(event))
                case Bundled():
                    stdout().print(render_bundle(event))
