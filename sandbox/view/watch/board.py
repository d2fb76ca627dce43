"""The whole terminal as lines: the table, the strip, or one exchange as a page; and what keys do to it. No I/O."""

from collections import deque
from collections.abc import Sequence

from rich.cells import cell_len
from rich.text import Text

from sandbox.events.watch import Told
from sandbox.observe.access import needs_log
from sandbox.observe.exchange import Exchange
from sandbox.view.watch.row import render_headings, render_page, render_row
from sandbox.view.watch.strip import Strip

MAX_ROWS = 1000
_HELP = "p pause  c clear  ↑↓ select  ↵ open  q quit"
_PAGE_HELP = "↑↓ scroll  esc back"

Row = tuple[int, Exchange]


class Board:
    """Takes what happens and keys, and shows the newest exchanges, or those around the one that is selected."""

    def __init__(self, strip: Strip) -> None:
        self._strip = strip
        self._rows: deque[Row] = deque(maxlen=MAX_ROWS)
        self._unsettled: dict[tuple[str, float], int] = {}
        self._frozen: list[Row] | None = None
        self._frozen_at = 0
        self._count = 0
        self._selected: int | None = None
        self._top = 0
        self._height = 1
        self._opened: Exchange | None = None
        self._scrolled = 0

    def add(self, record: Exchange | Told, now_s: float) -> None:
        """Take a record; `now_s` is on the monotonic clock. An exchange that comes again, settled, takes its row's place."""
        if isinstance(record, Exchange):
            self._add_exchange(record)
        else:
            self._strip.feed(record, now_s)

    def _add_exchange(self, exchange: Exchange) -> None:
        sign = (exchange.id, exchange.time_s)
        number = self._unsettled.pop(sign, None)
        if number is not None:
            for rows in filter(None, (self._rows, self._frozen)):
                place = number - rows[0][0]
                if 0 <= place < len(rows):
                    rows[place] = (number, exchange)
            return
        if needs_log(exchange):
            self._unsettled[sign] = self._count
            if len(self._unsettled) > MAX_ROWS:
                del self._unsettled[next(iter(self._unsettled))]
        self._rows.append((self._count, exchange))
        self._count += 1

    def press(self, key: str) -> bool:
        """Do what the key stands for; False to end."""
        if key in {"esc", "q"}:
            return self._go_back(key)
        if key in {"p", " "}:
            self._frozen, self._frozen_at = (list(self._rows) if self._frozen is None else None), self._count
        elif self._opened is not None:
            self._scrolled += self._steps(key)
        elif key == "c":
            self._clear()
        elif key == "enter":
            self._opened, self._scrolled = self._find_selected() or self._newest(), 0
        elif key in {"end", "G"}:
            self._selected = None
        elif steps := self._steps(key):
            self._move(steps)
        return True

    def _steps(self, key: str) -> int:
        page = max(self._height - 1, 1)
        return {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -page, "pagedown": page, "home": -MAX_ROWS, "g": -MAX_ROWS}.get(
            key, 0
        )

    def _go_back(self, key: str) -> bool:
        if self._opened is not None:
            self._opened = None
        elif self._selected is not None and key == "esc":
            self._selected = None
        else:
            return False
        return True

    def _clear(self) -> None:
        self._rows.clear()
        self._unsettled.clear()
        self._strip.forget()
        self._selected = None
        if self._frozen is not None:
            self._frozen, self._frozen_at = [], self._count

    def _shown(self) -> Sequence[Row]:
        return self._frozen if self._frozen is not None else self._rows

    def _newest(self) -> Exchange | None:
        rows = self._shown()
        return rows[-1][1] if rows else None

    def _find_selected(self) -> Exchange | None:
        return next((exchange for number, exchange in self._shown() if number == self._selected), None)

    def _move(self, steps: int) -> None:
        """Select another row; below the newest one none is, and the table follows again."""
        rows = self._shown()
        if not rows:
            return
        first, last = rows[0][0], rows[-1][0]
        if self._selected is None:
            if steps > 0:
                return
            self._top = max(last - self._height + 1, first)
            self._selected = last if steps == -1 else max(last + steps, first)
        else:
            moved = max(self._selected + steps, first)
            self._selected = moved if moved <= last else None

    def render(self, width: int, height: int, now_s: float) -> list[Text]:
        """Exactly `height` lines, none wider than `width`."""
        lines = self._render_opened(width, height) if self._opened else self._render_table(width, height, now_s)
        for line in lines:
            line.truncate(width, overflow="ellipsis")
        return lines[:height]

    def _render_opened(self, width: int, height: int) -> list[Text]:
        assert self._opened is not None
        folded = [piece for line in render_page(self._opened) for piece in _fold(line, width)]
        self._height = max(height - 1, 1)
        self._scrolled = max(0, min(self._scrolled, len(folded) - self._height))
        shown = folded[self._scrolled : self._scrolled + self._height]
        below = len(folded) - self._scrolled - len(shown)
        more = f"  {below} more lines below" if below else ""
        return [*shown, *_blank(self._height - len(shown)), Text(f"{_PAGE_HELP}{more}", "dim")]

    def _render_table(self, width: int, height: int, now_s: float) -> list[Text]:
        strip = self._strip.render(now_s)
        self._height = max(height - len(strip) - 3, 1)
        rows = self._window()
        lines = []
        for number, exchange in rows:
            line = render_row(exchange, width)
            if number == self._selected:
                line.truncate(width, overflow="ellipsis", pad=True)
                line.stylize("reverse")
            lines.append(line)
        return [
            render_headings(width),
            *lines,
            *_blank(self._height - len(lines)),
            Text("─" * width, "dim"),
            *strip,
            self._render_foot(),
        ]

    def _window(self) -> list[Row]:
        rows = self._shown()
        if not rows:
            return []
        first, last = rows[0][0], rows[-1][0]
        if self._selected is None:
            return list(rows)[-self._height :]
        self._selected = max(self._selected, first)
        self._top = max(first, min(self._top, self._selected), self._selected - self._height + 1)
        self._top = max(min(self._top, last - self._height + 1), first)
        begin = self._top - first
        return list(rows)[begin : begin + self._height]

    def _render_foot(self) -> Text:
        foot = Text(_HELP, "dim")
        if self._frozen is not None:
            more = f" {self._count - self._frozen_at} more since  "
            foot = Text.assemble(("PAUSED", "bold black on yellow"), (more, "yellow"), foot)
        elif self._selected is not None and self._rows:
            below = self._rows[-1][0] - self._top - self._height + 1
            foot = Text.assemble((f"{below} newer below (end)  ", "yellow"), foot) if below > 0 else foot
        return foot


def _blank(count: int) -> list[Text]:
    return [Text() for _ in range(count)]


def _fold(line: Text, width: int) -> list[Text]:
    """As many lines as it needs."""
    if cell_len(line.plain) <= width:
        return [line]
    step = max(width if line.plain.isascii() else width // 2, 1)
    return [line[begin : begin + step] for begin in range(0, len(line), step)]
