"""What a filter did to headers: both lists of one way as one, in order and with marks, and the same in a few words.

Values are shown as the record has them: whoever asked for it chose whether secrets are in it.
"""

from collections.abc import Iterable
from itertools import groupby

from rich.text import Text

from sandbox.observe.exchange import Way, merge
from sandbox.observe.headers import Change
from sandbox.view.terminal import printable

MARKS = {"added": ("+", "green"), "removed": ("-", "red"), "changed": ("~", "yellow"), "moved": ("↕", "cyan")}
INJECTS = "INJECTS HEADERS"
NOT_EXACT = "≈"
LOUD = "bold white on red"

EXPLAINED = Text(f"  {NOT_EXACT} perhaps not byte by byte: for what is not UTF-8 Envoy shows an exclamation mark", "dim")
_MAX_VALUE = 24
"""Characters of a value among a few words."""


def render_way(way: Way) -> list[Text]:
    """A line for each header as it came out of the filter, and for what it removed where that was."""
    lines = [_line(name, value, change) for name, value, change in merge(way)]
    if any(not change.exact for change in way.changes):
        lines.append(EXPLAINED)
    return lines


def _line(name: str, value: str, change: Change | None) -> Text:
    if change is None:
        return Text.assemble("  ", (printable(name), "cyan"), f": {printable(value)}")
    mark, style = MARKS[change.kind]
    text = Text.assemble((f"{mark} {printable(name)}", f"bold {style}"), (": ", style))
    if change.kind == "changed":
        text.append(f"{printable(change.before or '')} → ", "dim")
    text.append(printable(value), style)
    if change.kind == "moved" and change.before_index is not None and change.after_index is not None:
        text.append(f"  (from place {change.before_index + 1} to {change.after_index + 1})", "dim")
    return _warn(text, change)


def render_changes(changes: Iterable[Change]) -> Text:
    """All on one line: `+x-auth -via ~server a → b`; what was done alike to several headers of one name is counted."""
    words = []
    for _, alike in groupby(changes, key=lambda change: (change.kind, change.name, change.exact, change.injects)):
        same = list(alike)
        words += [_words(change) for change in same] if same[0].kind == "changed" else [_words(same[0], len(same))]
    return Text(" ").join(words)


def _words(change: Change, count: int = 1) -> Text:
    mark, style = MARKS[change.kind]
    text = Text.assemble((f"{mark}{printable(change.name)}", style))
    if count > 1:
        text.append(f" ×{count}", "dim")
    if change.kind == "changed":
        text.append(f" {_cut(change.before)} → {_cut(change.after)}", "dim")
    return _warn(text, change)


def _warn(text: Text, change: Change) -> Text:
    if not change.exact:
        text.append(f" {NOT_EXACT}", "yellow")
    if change.injects:
        text.append(" ").append(INJECTS, LOUD)
    return text


def _cut(value: str | None) -> str:
    shown = printable(value or "")
    return shown if len(shown) <= _MAX_VALUE else f"{shown[: _MAX_VALUE - 1]}…"
