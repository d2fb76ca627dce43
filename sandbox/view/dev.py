"""What `dev` prints: a line for each time that something was saved."""

from dataclasses import asdict
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from sandbox.events.dev import CycleDone, CycleFailed, CycleOvertaken, DevEvent
from sandbox.events.stack import LogRecord, Ready
from sandbox.observe.exchange import Exchange
from sandbox.observe.panic import Block
from sandbox.observe.redact import redact_json
from sandbox.view.logs import record_as_json
from sandbox.view.steps import render_probed
from sandbox.view.terminal import printable

MAX_NAMES = 3
ARROW = " → "


def render_done(cycle: CycleDone) -> Text:
    """One line: what was saved, how long each step took, and what became of requests meanwhile."""
    line = Text.assemble(("✔ ", "green"), (name_changed(cycle.changed), "bold"))
    if cycle.built:
        line.append(f"{ARROW}built {cycle.built.build_s:.1f} s")
    if cycle.test_s is not None:
        line.append(f"{ARROW}tested {cycle.test_s:.1f} s")
    if cycle.swapped is None:
        return line.append(f"{ARROW}live")
    if cycle.swapped.unchanged:
        return line.append(f"{ARROW}the same filter, which is live already")
    verb = "compiled" if cycle.built else "taken"
    line.append(f"{ARROW}{verb} by Envoy {cycle.swapped.envoy_s:.1f} s{ARROW}live, ")
    return line.append_text(render_probed(cycle.swapped.probed))


def render_failed(cycle: CycleFailed) -> RenderableType:
    """What is wrong, in the words of whoever found it, and what serves on."""
    lines = [Text.assemble(("✘ ", "red"), (name_changed(cycle.changed), "bold"), ARROW, (printable(cycle.message), "red"))]
    lines += [Text(f"  {printable(line)}") for line in cycle.details.splitlines()]
    if cycle.hint:
        lines.append(Text.assemble(("  hint: ", "dim"), printable(cycle.hint)))
    if cycle.serving:
        lines.append(Text(f"  {printable(cycle.serving)} serves on", "dim"))
    return Group(*lines)


def render_overtaken(cycle: CycleOvertaken) -> Text:
    """Why nothing has come of a save."""
    return Text.assemble(
        ("! ", "yellow"), f"saved while the filter was built, so it is built once more: {name_changed(cycle.saved)}"
    )


def as_json(event: DevEvent) -> dict[str, Any] | None:
    """The object for NDJSON, of which `event` says what it is; None for talk. An exchange is as `watch` has it, without."""
    match event:
        case CycleDone():
            return {"event": "live", **asdict(event)}
        case CycleFailed():
            return dict(redact_json({"event": "failed", **asdict(event)}))
        case Ready():
            return dict(redact_json({"event": "ready", **asdict(event)}))
        case LogRecord() | Block():
            return {"event": "log", **record_as_json(event)}
        case Exchange():
            return asdict(event)
        case _:
            return None


def name_changed(changed: tuple[str, ...]) -> str:
    """The files, or how many there are."""
    names = ", ".join(printable(name) for name in changed[:MAX_NAMES])
    more = len(changed) - MAX_NAMES
    return f"{names} and {more} more" if more > 0 else names
