"""Where things are printed: data on stdout, talk on stderr. Colours only on a terminal, and never with NO_COLOR."""

import json
import re
import sys
from typing import Any, TextIO

from rich.console import Console


class _Console(Console):
    def on_broken_pipe(self) -> None:
        """Let the command line's boundary decide; rich would exit with 1."""
        raise BrokenPipeError


PIPE_WIDTH = 160
"""Of tables where no terminal says how wide it is; text lines are never broken."""


def stdout() -> Console:
    """For data."""
    return _make_console(sys.stdout)


def stderr() -> Console:
    """For progress, notices and errors."""
    return _make_console(sys.stderr)


def _make_console(file: TextIO) -> Console:
    width = None if file.isatty() else PIPE_WIDTH
    return _Console(file=file, width=width, highlight=False, markup=False, emoji=False, soft_wrap=True)


# What a terminal obeys, or draws elsewhere, and JSON lets stand: C1, DEL, marks of direction, separators of lines.
_OBEYED = re.compile("[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def print_json(*values: Any) -> None:
    """One JSON document, or lines of NDJSON, on stdout."""
    for value in values:
        text = json.dumps(value, ensure_ascii=False)
        if not text.isascii() or "\x7f" in text:
            text = _OBEYED.sub(lambda found: f"\\u{ord(found[0]):04x}", text)
        sys.stdout.write(text + "\n")
    sys.stdout.flush()


def printable(text: str) -> str:
    """`text` without what a terminal would obey: control characters become visible escapes."""
    return "".join(char if char.isprintable() or char == "\t" else ascii(char)[1:-1] for char in text)
