"""How every verb that takes a while shows what happens."""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from sandbox.cli.options import Output

if TYPE_CHECKING:
    from sandbox.events.dev import DevEvent
    from sandbox.view.progress import ProgressDisplay


@contextmanager
def progress_of(events: Iterator[object]) -> "Iterator[ProgressDisplay]":
    """Where the progress of a verb is shown. Its events are closed at the end, also when they are interrupted: that cleans up."""
    from sandbox.view.progress import ProgressDisplay
    from sandbox.view.terminal import stderr

    with contextlib.closing(events), ProgressDisplay(stderr()) as display:  # type: ignore[type-var] # every verb is a generator
        yield display


def show_event(event: "DevEvent", output: Output, display: "ProgressDisplay") -> None:
    """Print one event."""
    from dataclasses import asdict

    from sandbox.events.filter import Swapped
    from sandbox.events.stack import LogRecord, Notice, Progress, Ready, ServiceExited, ServiceStopped, Step, Stopped
    from sandbox.observe.panic import Block
    from sandbox.observe.redact import redact_json
    from sandbox.view import steps
    from sandbox.view.logs import render_record
    from sandbox.view.terminal import print_json, stderr, stdout

    talk, data = stderr(), stdout()
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
        case Ready() | Swapped() if output is Output.JSON:
            print_json(redact_json(asdict(event)))
        case Ready():
            data.print(steps.render_ready(event))
        case Swapped():
            data.print(steps.render_swapped(event))
        case LogRecord() | Block():
            data.print(render_record(event))
