"""`logs`."""

import contextlib
import sys
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, ServicesArgument

if TYPE_CHECKING:
    from collections.abc import Callable

    from sandbox.events.stack import LogRecord
    from sandbox.observe.panic import Block


class LogOutput(StrEnum):
    """How `logs` prints its lines."""

    TEXT = "text"
    JSON = "json"
    RAW = "raw"


class Level(StrEnum):
    """Of log lines: Envoy's words."""

    TRACE = "trace"
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


@app.command(
    epilog="Examples: sandbox logs -f · sandbox logs --filter -n 20 · sandbox logs --level warning --since 5m envoy · "
    "sandbox logs -i token -e lease · sandbox logs --set-level wasm=trace -f"
)
def logs(
    services: ServicesArgument = None,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Stay and show what comes.")] = False,
    since: Annotated[str | None, typer.Option("--since", help="A span (90s, 5m, 2h) or a time (ISO 8601).")] = None,
    tail: Annotated[int | None, typer.Option("-n", "--tail", min=0, help="Only the last N; a crash counts as one.")] = None,
    only_filter: Annotated[bool, typer.Option("--filter", help="Only what the filter itself wrote, and its crashes.")] = False,
    level: Annotated[
        Level | None, typer.Option("--level", help="Only that level and worse; requests are info.", show_choices=True)
    ] = None,
    include: Annotated[
        list[str] | None,
        typer.Option("-i", "--include", metavar="PATTERN", help="Only texts with this regular expression, or another -i."),
    ] = None,
    exclude: Annotated[
        list[str] | None,
        typer.Option("-e", "--exclude", metavar="PATTERN", help="No texts with this regular expression, or another -e."),
    ] = None,
    set_level: Annotated[
        list[str] | None,
        typer.Option(
            "--set-level",
            metavar="[LOGGER=]LEVEL,...",
            help="Have Envoy log at that level until it ends; by itself without showing lines, with -f showing what comes.",
        ),
    ] = None,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show tokens in full.")] = False,
    engine: EngineOption = None,
    output: Annotated[
        LogOutput, typer.Option("-o", "--output", help="How to print them; raw: as the services wrote them.", show_default=True)
    ] = LogOutput.TEXT,
) -> None:
    """Show what the services wrote, in the order it came, and what the filter crashed of."""
    from sandbox.session.context import open_context
    from sandbox.session.levels import parse_changes, set_levels
    from sandbox.session.line_choice import make_line_choice
    from sandbox.session.logs import read_logs
    from sandbox.view.logs import render_levels
    from sandbox.view.terminal import stderr

    choice = make_line_choice(
        only_filter=only_filter, level=level and level.value, include=tuple(include or ()), exclude=tuple(exclude or ())
    )
    changes = parse_changes(set_level) if set_level else {}
    context = open_context({"engine": engine})
    if changes:
        set_levels(context, changes)
        stderr().print(render_levels(changes))
        if not follow:
            return
    entries = read_logs(context, tuple(services or ()), choice, since=since, tail=tail, follow=follow)
    show = _printer(output, secrets=show_secrets)
    with contextlib.closing(entries):  # type: ignore[type-var] # it is a generator
        for entry in entries:
            show(entry)


def _printer(output: LogOutput, *, secrets: bool) -> "Callable[[LogRecord | Block[LogRecord]], None]":
    from sandbox.view.logs import raw_lines, record_as_json, render_record
    from sandbox.view.terminal import print_json, stdout

    console, for_terminal = stdout(), sys.stdout.isatty()

    def show(entry: "LogRecord | Block[LogRecord]") -> None:
        match output:
            case LogOutput.TEXT:
                console.print(render_record(entry, secrets=secrets))
            case LogOutput.JSON:
                print_json(record_as_json(entry, secrets=secrets))
            case LogOutput.RAW:
                lines = raw_lines(entry, secrets=secrets, for_terminal=for_terminal)
                sys.stdout.write("".join(f"{line}\n" for line in lines))
                sys.stdout.flush()

    return show
