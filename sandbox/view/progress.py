"""How far something is: bars on a terminal, elsewhere a line when it begins, and everywhere one when it is there."""

import time
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.text import Text

from sandbox.events.stack import Progress
from sandbox.view.terminal import printable

if TYPE_CHECKING:
    from rich.progress import Progress as Bars
    from rich.progress import TaskID

BAR_WIDTH = 20
_WORDS = {
    "pull": ("pulling", "pulled"),
    "build": ("building", "built"),
    "fetch": ("fetching", "fetched"),
    "pack": ("packing", "packed"),
    "check": ("checking", "checked"),
    "load": ("loading", "loaded"),
}


def render_progress(progress: Progress, elapsed_s: float) -> Text:
    """One line for the first record about something, or for its last; `elapsed_s` is from the one to the other."""
    begins, ends = _WORDS[progress.kind]
    if not progress.finished:
        return Text.assemble(("… ", "dim"), f"{begins} {printable(progress.item)}")
    size = f"{_size(progress.total_bytes)} in " if progress.kind != "build" and progress.total_bytes else ""
    return Text.assemble(("✔ ", "green"), f"{ends} {printable(progress.item)}", (f"  {size}{elapsed_s:.1f} s", "dim"))


class ProgressDisplay:
    """Shows records as they come, and beside them what else is printed on the console.

    The bars are gone when nothing is under way and at the end, whatever ends it: Ctrl-C and errors, too.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._with_bars = console.is_interactive and console.file.isatty()
        self._begun_s: dict[str, float] = {}
        self._bars: Bars | None = None
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._end_bars()

    def show(self, progress: Progress) -> None:
        """Show one record."""
        is_first = progress.item not in self._begun_s
        begun_s = self._begun_s.setdefault(progress.item, time.monotonic())
        if progress.finished:
            self._remove_bar(progress.item)
            del self._begun_s[progress.item]
        elif self._with_bars:
            self._move_bar(progress)
        if progress.finished or (is_first and not self._with_bars):
            self._console.print(render_progress(progress, time.monotonic() - begun_s))

    def _move_bar(self, progress: Progress) -> None:
        if self._bars is None:
            self._bars = _make_bars(self._console)
            self._bars.start()
        if progress.item not in self._tasks:
            name = f"{_WORDS[progress.kind][0]} {printable(progress.item)}"
            self._tasks[progress.item] = self._bars.add_task(name, total=None, size="", detail="")
        done, total = progress.done_bytes, progress.total_bytes
        self._bars.update(
            self._tasks[progress.item],
            completed=progress.done_bytes or 0,
            total=progress.total_bytes,
            size="" if done is None else _size(done) if total is None else f"{_size(done)} of {_size(total)}",
            detail=printable(progress.detail),
        )

    def _remove_bar(self, item: str) -> None:
        if self._bars is not None and item in self._tasks:
            self._bars.remove_task(self._tasks.pop(item))
            if not self._tasks:
                self._end_bars()

    def _end_bars(self) -> None:
        if self._bars is not None:
            self._bars.stop()
            self._bars = None
            self._tasks.clear()


def _make_bars(console: Console) -> "Bars":
    from rich.progress import BarColumn, SpinnerColumn, TextColumn
    from rich.progress import Progress as Bars
    from rich.table import Column

    def text(field: str, style: str = "") -> TextColumn:
        column = Column(no_wrap=True, overflow="ellipsis")
        return TextColumn(f"{{task.{field}}}", style=style or "none", markup=False, table_column=column)

    return Bars(
        SpinnerColumn(),
        text("description"),
        BarColumn(bar_width=BAR_WIDTH),
        text("fields[size]"),
        text("fields[detail]", "dim"),
        console=console,
        transient=True,
        redirect_stdout=False,
        redirect_stderr=False,
    )


def _size(count: int | None) -> str:
    from rich.filesize import decimal

    return decimal(count or 0)
