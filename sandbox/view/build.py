"""What was built: a column for each compiler, so that size and times can be compared, and what to do with it."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rich.text import Text

from sandbox.events.filter import BuiltModule
from sandbox.view.terminal import printable

_NAMES = {"go": "Go", "tinygo": "TinyGo"}
_BETWEEN = "   "


def render_builds(modules: Sequence[BuiltModule], *, saved: Path | None) -> Text:
    """A table of the modules, what `check` has against each, and the command that makes one live."""
    rows = [
        ("made by", [_made_by(module) for module in modules]),
        ("size", [f"{module.size_bytes:,} bytes" for module in modules]),
        ("SHA-256", [module.sha256[:12] for module in modules]),
        ("built in", [f"{module.build_s:.1f} s" for module in modules]),
        ("Envoy loads it in", ["?" if module.load_s is None else f"about {module.load_s:.2g} s" for module in modules]),
    ]
    head = max(len(name) for name, _ in rows)
    widths = [max(len(cells[column]) for _, cells in rows) for column in range(len(modules))]
    lines = []
    for name, cells in rows:
        text = _BETWEEN.join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()
        lines.append(Text.assemble((f"{name:<{head}}  ", "bold"), text))
    for module in modules:
        if module.problem:
            fix = f" → {printable(module.fix)}" if module.fix else ""
            lines.append(Text.assemble(("! ", "yellow"), f"{printable(module.problem)}{fix}"))
    lines += [_next(str(saved) if saved else module.path) for module in modules]
    return Text("\n").join(lines)


def _made_by(module: BuiltModule) -> str:
    version = printable(module.version)
    return f"{_NAMES[module.toolchain]} {version}" if module.toolchain in _NAMES else version or "the build command"


def _next(path: str) -> Text:
    return Text.assemble(("next: ", "bold"), f"sandbox swap {printable(shlex.quote(path))}")
