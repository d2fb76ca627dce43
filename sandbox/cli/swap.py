"""`swap`, `rollback`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption, ToolchainOption
from sandbox.cli.show import progress_of, show_event

if TYPE_CHECKING:
    from sandbox.events.verb import Event

NOT_PROVEN = 7


@app.command(
    epilog="Examples: sandbox swap · sandbox swap my.wasm · sandbox swap my.wasm --config my.json · sandbox swap --config my.json"
)
def swap(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE.wasm]",
            help="The module; without FILE and --config: the project's own, built.",
            show_default=False,
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="A plugin configuration, or a file like filter.yaml; - is stdin.", show_default=False),
    ] = None,
    toolchain: ToolchainOption = None,
    engine: EngineOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Put another filter into the running Envoy, live."""
    from sandbox.session.context import open_context
    from sandbox.session.swap import swap as swap_live

    context = open_context({"engine": engine})
    _show(swap_live(context, module=file, configuration=config, toolchain=toolchain.value if toolchain else None), output)


@app.command(epilog="Examples: sandbox rollback · sandbox rollback 870e87892680")
def rollback(
    version: Annotated[
        str, typer.Argument(help="How its version begins, as status lists it; none: the one before.", show_default=False)
    ] = "",
    engine: EngineOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Go back to the filter that was live before."""
    from sandbox.session.context import open_context
    from sandbox.session.swap import roll_back

    _show(roll_back(open_context({"engine": engine}), version=version), output)


def _show(events: "Iterator[Event]", output: Output) -> None:
    from sandbox.events.filter import Swapped

    with progress_of(events) as display:
        for event in events:
            show_event(event, output, display)
            if isinstance(event, Swapped) and not event.probed.is_passed:
                raise typer.Exit(NOT_PROVEN)
