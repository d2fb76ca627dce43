"""`dev`."""

from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption, ToolchainOption
from sandbox.cli.show import progress_of, show_event

if TYPE_CHECKING:
    from sandbox.events.dev import DevEvent
    from sandbox.view.progress import ProgressDisplay


@app.command(epilog="Examples: sandbox dev · sandbox dev --test · sandbox dev --logs --watch")
def dev(
    test: Annotated[bool, typer.Option("--test", help="Run `go test` before a swap; what fails is not swapped in.")] = False,
    logs: Annotated[bool, typer.Option("--logs", help="Show what the filter logs.")] = False,
    exchanges: Annotated[bool, typer.Option("--watch", help="Show the exchanges, and what the filter did to each.")] = False,
    toolchain: ToolchainOption = None,
    engine: EngineOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Build what you save and swap it in, until Ctrl-C."""
    from sandbox.session.context import open_context
    from sandbox.session.dev.loop import Dev

    context = open_context({"engine": engine})
    events = Dev(context, toolchain=toolchain.value if toolchain else None, test=test, logs=logs, exchanges=exchanges).run()
    with progress_of(events) as display:
        for event in events:
            _show(event, output, display)


def _show(event: "DevEvent", output: Output, display: "ProgressDisplay") -> None:
    from sandbox.events.dev import CycleDone, CycleFailed, CycleOvertaken
    from sandbox.observe.exchange import Exchange
    from sandbox.view.dev import as_json, render_done, render_failed, render_overtaken
    from sandbox.view.terminal import print_json, stderr, stdout
    from sandbox.view.watch.row import render_line

    document = as_json(event) if output is Output.JSON else None
    match event:
        case _ if document is not None:
            print_json(document)
        case CycleDone():
            stdout().print(render_done(event))
        case CycleFailed():
            stdout().print(render_failed(event))
        case CycleOvertaken():
            stderr().print(render_overtaken(event))
        case Exchange():
            stdout().print(render_line(event))
        case _:
            show_event(event, output, display)
