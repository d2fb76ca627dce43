"""`up`, `down`, `restart`, `status`."""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption, ServicesArgument, StatusOutput, TimeoutOption
from sandbox.errors import StackError

if TYPE_CHECKING:
    from sandbox.events import Event, LogRecord


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
        typer.Option("--module", help="Which build of the filter: tinygo or go.  [default: tinygo]", show_default=False),
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
    from sandbox.session.lifecycle import up as start

    context = open_context(
        {
            "ingress_port": ingress_port,
            "bypass_port": bypass_port,
            "console_port": console_port,
            "workers": workers,
            "module": module,
            "pull": pull,
            "engine": engine,
            "timeout_s": timeout,
        }
    )
    _show(start(context, foreground=foreground, keep=keep), output)


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
    from dataclasses import asdict

    from sandbox.events import LogRecord, Notice, Progress, Ready, ServiceExited, ServiceStopped, Step, Stopped
    from sandbox.observe.redact import redact_json
    from sandbox.view import steps
    from sandbox.view.logs import render_record
    from sandbox.view.progress import ProgressDisplay
    from sandbox.view.terminal import print_json, stderr, stdout

    talk, data = stderr(), stdout()
    with contextlib.closing(events), ProgressDisplay(talk) as display:  # type: ignore[type-var] # every verb is a generator
        for event in events:
            match event:
                case Progress():
                    display.show(event)
                case Step():
                    talk.print(steps.render_step(event))
                case Notice():
                    talk.print(steps.render_notice(event))
                case ServiceExited() | ServiceStopped():
                    talk.print(steps.render_service_end(event))
                case Stopped():
                    talk.print(steps.render_stopped(event))
                case Ready() if output is Output.JSON:
                    print_json(redact_json(asdict(event)))
                case Ready():
                    data.print(steps.render_ready(event))
                case LogRecord():
                    data.print(render_record(event))
