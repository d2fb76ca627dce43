"""An exchange as one line, and as a page."""

import time
from collections.abc import Iterator

from rich.text import Text

from sandbox.observe.exchange import Exchange, Way
from sandbox.view.exchange import LOUD, render_changes, render_way
from sandbox.view.terminal import printable

REQUEST, RESPONSE = "▶", "◀"
TRAPPED = "TRAPPED"
PATH_WIDTH = 32
"""Of lines; a longer path is not cut there."""
_STATUS = {1: "cyan", 2: "green", 3: "cyan", 4: "yellow", 5: "red"}
HEADINGS = ("TIME", "METHOD", "PATH", "STATUS", "MS", "WHAT THE FILTER DID")


def render_line(exchange: Exchange) -> Text:
    """One line of any length."""
    path = f"{printable(exchange.path):<{PATH_WIDTH}}"
    return Text("  ").join((*_begin(exchange), Text(path), *_middle(exchange), render_deeds(exchange)))


def render_row(exchange: Exchange, width: int) -> Text:
    """The same in a table of that width, cut."""
    path = Text(printable(exchange.path))
    path.truncate(path_width(width), overflow="ellipsis", pad=True)
    return Text("  ").join((*_begin(exchange), path, *_middle(exchange), render_deeds(exchange)))


def render_headings(width: int) -> Text:
    """Of the table's columns."""
    moment, method, path, status, ms, deeds = HEADINGS
    return Text(f"{moment:<12}  {method:<7}  {path:<{path_width(width)}}  {status:>6}  {ms:>8}  {deeds}", "bold")


def path_width(width: int) -> int:
    """A third of what is left for it and for the filter's deeds."""
    return min(max((width - 44) // 3, 8), 60)


def render_time(time_s: float) -> str:
    """The local time of day."""
    seconds, rest = divmod(time_s, 1)
    return time.strftime("%H:%M:%S", time.localtime(seconds)) + f".{int(rest * 1000):03}"


def _begin(exchange: Exchange) -> tuple[Text, Text]:
    method = Text(printable(exchange.method))
    method.truncate(7, overflow="ellipsis", pad=True)
    return Text(render_time(exchange.time_s), "dim"), method


def _middle(exchange: Exchange) -> tuple[Text, Text]:
    status, duration = exchange.status, exchange.duration_ms
    style = "bold red" if exchange.trapped else _STATUS.get((status or 0) // 100, "yellow")
    return (
        Text(f"{status if status is not None else '-':>6}", style),
        Text(f"{duration:>8.1f}" if duration is not None else f"{'-':>8}", "dim"),
    )


def render_deeds(exchange: Exchange) -> Text:
    """Who answered if the upstream did not, and what the filter did on each way."""
    words = [*_answerer(exchange)]
    for mark, way in ((REQUEST, exchange.request), (RESPONSE, exchange.response)):
        if way and way.changes:
            words.append(Text.assemble((f"{mark} ", "bold blue"), render_changes(way.changes)))
    return Text("  ").join(words)


def _answerer(exchange: Exchange) -> Iterator[Text]:
    why = f": {printable(exchange.details)}" if exchange.details else ""
    if exchange.trapped:
        yield Text(TRAPPED, LOUD)
    elif exchange.answered_by == "filter":
        yield Text("the filter answered", "bold magenta")
    elif exchange.answered_by == "envoy":
        yield Text(f"Envoy answered{why}", "yellow")
    elif exchange.answered_by is None and exchange.status is None:
        yield Text(f"no answer{why or ' seen'}", "yellow")
    elif exchange.answered_by is None:
        yield Text("the filter answered, or crashed", "yellow")


def render_page(exchange: Exchange) -> list[Text]:
    """Everything about it: both lists of headers, each with what the filter did."""
    lines = [
        Text("  ").join((*_begin(exchange), Text(printable(exchange.path), "bold"))),
        Text("  ").join((*_middle(exchange), *_answerer(exchange), Text(f"x-request-id {printable(exchange.id)}", "dim"))),
    ]
    if exchange.trapped and exchange.details:
        lines.append(Text(f"Envoy says: {printable(exchange.details)}", "red"))
    lines += [Text(), *_way(f"{REQUEST} request", exchange.request, "nothing came out of the filter")]
    if exchange.response:
        lines += [Text(), *_way(f"{RESPONSE} response", exchange.response, "what the client got instead is not shown")]
    return lines


def _way(title: str, way: Way, nothing: str) -> list[Text]:
    if way.after is None:
        said = nothing
    else:
        said = f"{len(way.changes)} {'change' if len(way.changes) == 1 else 'changes'}" if way.changes else "not changed"
    return [Text.assemble((title, "bold blue"), (f"  {said}", "dim")), *render_way(way)]
