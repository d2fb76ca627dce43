"""`watch`."""

import select
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from sandbox.cli.app import app
from sandbox.cli.options import EngineOption, Output, OutputOption

if TYPE_CHECKING:
    from sandbox.session.watch.feed import Feed
    from sandbox.session.watch.waiting import Record
    from sandbox.view.watch.board import Board

TICK_S = 0.1
"""How often news are looked for, and the terminal is drawn."""
AFTER_KEY_S = 0.03
WAIT_S = 0.25


@app.command(
    epilog="Examples: sandbox watch · sandbox watch --path '/api/*' --status 5xx · sandbox watch --header x-team=red -n 1 · "
    "sandbox watch -o json | jq 'select(.event | not)'"
)
def watch(
    path: Annotated[
        list[str] | None,
        typer.Option("--path", metavar="GLOB", help="Only these paths: * is anything, / too; with the query or without."),
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option("--status", metavar="CODES", help="Only 404, 5xx, 500-599 or 404,5xx.")
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option("--header", metavar="NAME[=GLOB]", help="Only with that header, anywhere; several: with all of them."),
    ] = None,
    changed: Annotated[bool, typer.Option("--changed", help="Only where the filter did something.")] = False,
    changed_header: Annotated[
        list[str] | None, typer.Option("--changed-header", metavar="GLOB", help="Only where it changed that header.")
    ] = None,
    number: Annotated[int | None, typer.Option("-n", "--number", min=1, help="Print N exchanges, and end.")] = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Begin with what was seen since then, if somebody watched: 90s, 5m, ISO 8601.")
    ] = None,
    show_secrets: Annotated[bool, typer.Option("--show-secrets", help="Show tokens in full.")] = False,
    engine: EngineOption = None,
    output: OutputOption = Output.TEXT,
) -> None:
    """Show every exchange as it passes, and what the filter did to it."""
    from sandbox.session.context import open_context
    from sandbox.session.since import parse_since
    from sandbox.session.watch.choice import make_choice
    from sandbox.session.watch.feed import Feed
    from sandbox.view.terminal import stdout
    from sandbox.view.watch.screen import can_draw

    choice = make_choice(
        paths=tuple(path or ()),
        statuses=tuple(status or ()),
        headers=tuple(header or ()),
        changed=changed,
        changed_names=tuple(changed_header or ()),
    )
    since_s = None if since is None else parse_since(since, now_s=time.time())
    on_screen = output is Output.TEXT and number is None and can_draw(stdout())
    context = open_context({"engine": engine})
    with Feed(context, choice, since_s=since_s, secrets=show_secrets, at_once=on_screen) as feed:
        if output is Output.JSON:
            _print_json(feed, number, secrets=show_secrets)
        elif on_screen:
            _show(feed, secrets=show_secrets)
        else:
            _print_lines(feed, number, secrets=show_secrets)


def _print_json(feed: "Feed", number: int | None, *, secrets: bool) -> None:
    from sandbox.view.terminal import print_json
    from sandbox.view.watch.lines import Documents

    documents = Documents(secrets=secrets)
    for records in _take(feed, number):
        print_json(*(value for record in records if (value := documents.make(record)) is not None))


def _print_lines(feed: "Feed", number: int | None, *, secrets: bool) -> None:
    from sandbox.observe.exchange import Exchange
    from sandbox.view.terminal import stderr, stdout
    from sandbox.view.watch.lines import Talk
    from sandbox.view.watch.row import render_line

    data, talk, told = stdout(), stderr(), Talk(secrets=secrets)
    for records in _take(feed, number):
        for record in records:
            if isinstance(record, Exchange):
                data.print(render_line(record))
            elif (note := told.render(record)) is not None:
                talk.print(note)
        for note in told.sum_up(time.monotonic()):
            talk.print(note)


def _take(feed: "Feed", number: int | None) -> "Iterator[list[Record]]":
    """All records up to the exchange of that number, as they come: some at a time, and none when none came.

    Raises: BrokenPipeError as soon as nobody reads any more, as `head` when it has its lines; not only at the next exchange.
    """
    from sandbox.observe.exchange import Exchange

    left = number
    while left is None or left > 0:
        records = feed.take(WAIT_S)
        if left is not None:
            places = [place for place, record in enumerate(records, 1) if isinstance(record, Exchange)]
            records = records[: places[left - 1]] if len(places) >= left else records
            left -= len(places)
        yield records
        if _is_broken():
            raise BrokenPipeError


def _is_broken() -> bool:
    poll = select.poll()
    try:
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # it is no file, as in a test
        return False
    return any(event & select.POLLERR for _, event in poll.poll(0))


def _show(feed: "Feed", *, secrets: bool) -> None:
    from sandbox.cli.signals import pause
    from sandbox.view.watch.board import Board
    from sandbox.view.watch.strip import Strip

    expected = feed.expected
    version, tick_s = (expected.version, expected.injected.tick_s) if expected else (None, None)
    board = Board(Strip(tick_s=tick_s, tick_version=version, secrets=secrets))
    while _show_until_paused(feed, board):
        pause()


def _show_until_paused(feed: "Feed", board: "Board") -> bool:
    """Show until the user has seen enough (False), or wants the terminal for a while (True).

    Raises: KeyboardInterrupt, and whatever else, when the terminal is as it was.
    """
    from sandbox.cli.keys import Keys
    from sandbox.cli.signals import Signals
    from sandbox.view.terminal import stdout
    from sandbox.view.watch.screen import Screen

    with Signals() as signals, Keys() as keys, Screen(stdout()) as screen:
        drawn: tuple[float, tuple[int, int]] | None = None
        pressed: list[str] = []
        while not (signals.to_end or signals.to_pause):
            now_s = time.monotonic()
            records = feed.take(0.0)
            for record in records:
                board.add(record, now_s)
            state = (now_s // 1, screen.size)
            if records or pressed or state != drawn:
                screen.show(board.render(*screen.size, now_s))
                drawn = state
            pressed = keys.read(TICK_S)
            if not all(board.press(key) for key in pressed):
                return False
            if pressed:
                time.sleep(AFTER_KEY_S)
    if signals.to_end:
        raise KeyboardInterrupt
    return True
