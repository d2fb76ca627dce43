"""What happens while a stack starts, restarts or stops."""

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from sandbox.events.filter import Probed, Swapped
from sandbox.events.stack import Notice, Ready, ServiceExited, ServiceStopped, Step, Stopped
from sandbox.view.headers import render_token, shorten
from sandbox.view.terminal import printable


def render_step(step: Step) -> Text:
    """One line: mark, time, name, detail."""
    return Text.assemble(("✔ ", "green"), (f"{step.elapsed_s:6.2f} s  ", "dim"), f"{step.name:<9} ", printable(step.detail))


def render_notice(notice: Notice) -> Text:
    """One line that stands out."""
    return Text.assemble(("! ", "yellow"), printable(notice.text))


def render_service_end(event: ServiceExited | ServiceStopped) -> Text:
    """One line for a service that ended."""
    if isinstance(event, ServiceStopped):
        return Text.assemble(("✔ ", "green"), f"{event.service} stopped")
    return Text.assemble(("✘ ", "red"), f"{event.service} exited with {event.returncode}")


def render_stopped(stopped: Stopped) -> Text:
    """The last line of `down`."""
    if not stopped.was_running:
        return Text("nothing was running")
    return Text.assemble(("✔ ", "green"), (f"{stopped.elapsed_s:6.2f} s  ", "dim"), "down, nothing left")


def render_ready(ready: Ready) -> RenderableType:
    """The box at the end of `up`: where everything is, what was seen, what to try next."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    table.add_row("Ingress", f"{ready.ingress_url}   with the filter")
    table.add_row("Bypass", f"{ready.bypass_url}   the same routes without it")
    table.add_row("Console", ready.console_url)
    table.add_row("Engine", f"{ready.engine}, Envoy {ready.envoy_version}")
    table.add_row("Filter", f"{ready.module_sha256[:12]} ({printable(ready.module)})")
    table.add_row("Try", "sandbox curl /")
    table.add_row("", "sandbox logs -f")
    table.add_row("", "sandbox down")
    title = "already running" if ready.already else f"ready in {ready.elapsed_s:.2f} s"
    box = Panel(table, title=title, title_align="left", border_style="green", expand=False)
    if not ready.headers:
        return box
    seen = Text("Seen: ", "bold")
    for name, value in ready.headers:
        seen.append(name, "bold green").append(f": {printable(shorten(value))}   ")
    return Group(box, seen.append_text(render_token(ready.token)) if ready.token else seen)


def render_swapped(swapped: Swapped) -> Text:
    """The last line of `swap`: what runs now, how long it took, and what became of requests meanwhile."""
    name = Text.assemble((swapped.version[:12], "bold"), f" ({printable(swapped.origin)})")
    if swapped.unchanged:
        return Text.assemble(("✔ ", "green"), name, " is live already")
    took = f"{swapped.elapsed_s:.2f} s, {swapped.envoy_s:.2f} s of it in Envoy"
    return Text.assemble(("✔ ", "green"), name, " is live: ", took, ", ", render_probed(swapped.probed))


def render_probed(probed: Probed) -> Text:
    """How many requests were lost while the filter was swapped."""
    words = f"{probed.lost} of {probed.sent} requests lost"
    return Text(f"{words} ({printable(probed.problem)})" if probed.problem else words, "red" if probed.lost else "")
