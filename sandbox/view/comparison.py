"""What `curl --diff` shows: the answers with and without the filter, side by side."""

import difflib

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from sandbox.events.exchange import Answer
from sandbox.observe.headers import diff_headers
from sandbox.observe.redact import redact, redact_header
from sandbox.view.body import lay_out
from sandbox.view.terminal import printable

_OF_EACH_ANSWER = ("date", "x-request-id", "x-envoy-upstream-service-time")
_MAX_LINES = 40
_STYLES = {"+": "green", "-": "red", "@": "cyan"}


def render_comparison(
    filtered: Answer, filtered_body: bytes, bypass: Answer, bypass_body: bytes, *, secrets: bool
) -> RenderableType:
    """A row for each header that differs, and the lines of the body that do."""

    def show(name: str, value: str | None) -> str:
        return "" if value is None else printable(value if secrets else redact_header(name, value))

    table = Table(box=None, padding=(0, 2, 0, 0), header_style="bold")
    for column in ("", "WITH THE FILTER", "WITHOUT"):
        table.add_column(column)
    if filtered.status != bypass.status:
        table.add_row("status", str(filtered.status), str(bypass.status))
    for change in diff_headers(bypass.headers, filtered.headers):
        if change.kind != "moved" and change.name not in _OF_EACH_ANSWER:
            table.add_row(show("", change.name), Text(show(change.name, change.after)), Text(show(change.name, change.before)))
    parts: list[RenderableType] = [table if table.row_count else Text("status and headers are the same")]
    parts += _compare_bodies(filtered_body, bypass_body, secrets=secrets)
    return Group(*parts, Text(f"left out, as every answer has its own: {', '.join(_OF_EACH_ANSWER)}", "dim"))


def _compare_bodies(filtered: bytes, bypass: bytes, *, secrets: bool) -> list[Text]:
    if filtered == bypass:
        return [Text(f"the body is the same, {len(filtered)} bytes")]
    with_filter, without = (_lines(body, secrets=secrets) for body in (filtered, bypass))
    lines = list(difflib.unified_diff(without, with_filter, "without the filter", "with the filter", lineterm="", n=1))
    shown = [Text(printable(line), _STYLES.get(line[:1], "")) for line in lines[:_MAX_LINES]]
    return [*shown, Text(f"[{len(lines) - _MAX_LINES} more lines]", "dim")] if len(lines) > _MAX_LINES else shown


def _lines(body: bytes, *, secrets: bool) -> list[str]:
    text = lay_out(body.decode(errors="replace"), width=0)
    return (text if secrets else redact(text)).splitlines()
