"""`up`, `down`, `restart`, `status`."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption, ServicesArgument, StatusOutput, TimeoutOption
from sandbox.cli.show import progress_of, show_event
from sandbox.errors import StackError

if TYPE_CHECKING:
    from sandbox.events.stack import LogRecord
    from sandbox.events.verb import Event


def _port_option(name: str, default: int) -> Any:
    help_ = f"Port of the {name}: that one or an error.  [default: {default}, or a free one]"
    return typer.Option(f"--{name}-port", help=help_, show_default=False)


@app.command(epilog="Examples: sandbox up · sandbox up --ingress-port 8080 · sandbox up --foreground")
def up(
    foreground: Annotated[bool, typer.Option("--foreground", "-f", help="Stay, show the log, end with Ctrl-C.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="If it fails, leave what runs for inspection.")] = False,
    ingress_port: Annotated[int | None, _port_option("ingress", 10000)] = None,
    bypass_port: Annotated[int | None, _port_option("bypass", 10001)] = None,
    console_port: Annotated[int | None, _port_option("console", 9901)] = None,
    workers: Annotated[
        int | None, typer.Option("--workers", help="Envoy's worker threads.  [default: 2]", show_default=False)
    ] = None,
    module: Annotated[
        str | None,
        typer.Option(
            "--module", help="Which build of the filter: tinygo, go, or source: built now.  [default: tinygo]", show_default=False
        ),
    ] = None,
    filter_: Annotated[
        Path | None,
        typer.Option("--filter", metavar="FILE.wasm", help="Run this module in place of the project's.", show_default=False),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option("--config", help="Its plugin configuration, or a file like filter.yaml; - is stdin.", show_default=False),
    ] = None,
    envoy: Annotated[
        str | None,
        typer.Option(
            "--envoy",
            metavar="VERSION",
            help="Run this Envoy: 1.36 to 1.40, or a version in full; fetched if it is not here.  [default: 1.40.0]",
            show_default=False,
        ),
    ] = None,
    pull: Annotated[
        str | None,
        typer.Option("--pull", help="Docker images: missing, always or never.  [default: missing]", show_default=False),
    ] = None,
    engine: EngineOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Start the stack and see the first injected header."""
    from sandbox.session.context import open_context
    from sandbox.session.given import load_configuration, load_module
    from sandbox.session.lifecycle import up as start

    context = open_context(
        {
            "ingress_port": ingress_port,
            "bypass_port": bypass_port,
            "console_port": console_port,
            "workers": workers,
            "module": module,
            "envoy": envoy,
            "pull": pull,
            "engine": engine,
            "timeout_s": timeout,
        }
    )
    module_given = load_module(filter_, envoy=context.settings.envoy) if filter_ else None
    configuration = load_configuration(config) if config else None
    _show(start(context, foreground=foreground, keep=keep, module=module_given, configuration=configuration), output)


@app.command(epilog="Examples: sandbox down · sandbox down --volumes")
def down(
    volumes: Annotated[bool, typer.Option("--volumes", "-v", help="Forget keys, ports and logs too.")] = False,
    engine: EngineOption = None,
) -> None:
    """End the stack, whatever state it is in."""
    from sandbox.session.context import open_context
    from sandbox.session.lifecycle import down as stop

    _show(stop(open_context({"engine": engine}, to_end=True), volumes=volumes), Output.TEXT)


@app.command(epilog="Examples: sandbox restart · sandbox restart jwt-api")
def restart(
    services: ServicesArgument = None,
    engine: EngineOption = None,
    timeout: TimeoutOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """End and start services, and see the stack work again."""
    from sandbox.session.context import open_context
    from sandbox.session.lifecycle import restart as restart_services
    from sandbox.session.names import check_services

    context = open_context({"engine": engine, "timeout_s": timeout})
    _show(restart_services(context, check_services(services or ())), output)


@app.command(epilog="Examples: sandbox status · sandbox status -o json · eval $(sandbox status -o env)")
def status(
    engine: EngineOption = None,
    output: Annotated[StatusOutput, typer.Option("--output", "-o", help="How to print the data.")] = StatusOutput.TEXT,
) -> None:
    """Show services, ports, the live filter, the token's age."""
    from dataclasses import asdict

    from sandbox.session.context import open_context
    from sandbox.session.status import environment_of, read_report
    from sandbox.view.status import render_status
    from sandbox.view.terminal import print_json, stdout

    report = read_report(open_context({"engine": engine}))
    match output:
        case StatusOutput.JSON:
            print_json(asdict(report))
        case StatusOutput.ENV:
            stdout().print("\n".join(f"{name}={value}" for name, value in environment_of(report)))
        case StatusOutput.TEXT:
            stdout().print(render_status(report))
    if report.phase != "running":
        raise typer.Exit(StackError.exit_code)


def _show(events: "Iterator[Event | LogRecord]", output: Output) -> None:
    """Print events as they come; the generator is closed at once when printing is interrupted, which cleans up."""
    with progress_of(events) as display:
        for event in events:
            show_event(event, output, display)
