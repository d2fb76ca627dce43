"""The terminal's other screen, drawn when there is something new; what was on the terminal is there again at the end."""

from collections.abc import Sequence
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text


class Screen:
    """Takes the terminal over for as long as it is entered."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)

    @property
    def size(self) -> tuple[int, int]:
        """Columns and lines, now."""
        return self._console.size.width, self._console.size.height

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def show(self, lines: Sequence[Text]) -> None:
        """Draw these lines."""
        for line in lines:
            line.no_wrap = True
        self._live.update(Group(*lines), refresh=True)


def can_draw(console: Console) -> bool:
    """Whether it is a terminal on which more than lines can be drawn."""
    return console.file.isatty() and not console.is_dumb_terminal
