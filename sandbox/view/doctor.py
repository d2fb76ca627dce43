"""The lines of `doctor`, to be pasted into a bug report as they are."""

from rich.text import Text

from sandbox.events.status import Check
from sandbox.view.terminal import printable

_MARKS = {"ok": ("✔", "green"), "warning": ("!", "yellow"), "failed": ("✘", "bold red")}
_WIDTH = len("console port")


def render_check(check: Check) -> Text:
    """Mark, name, detail; below it what to do, where there is something to do."""
    mark, style = _MARKS[check.state]
    text = Text.assemble((f"{mark} ", style), (f"{check.name:<{_WIDTH}}", "bold"), f"  {printable(check.detail)}")
    if check.fix:
        text.append(f"\n  {'':<{_WIDTH}}  → {printable(check.fix)}", "dim" if check.state == "ok" else "")
    return text
