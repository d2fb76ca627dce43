"""How progress looks: on a terminal of its own, and in a file."""

import io
import os
import re
import threading
from functools import partial
from typing import get_args

import pytest
from recordings import recorded
from rich.console import Console
from stacks import until

from sandbox.engines.docker.compose.progress import ProgressReader
from sandbox.events.stack import Notice, Progress
from sandbox.view.progress import ProgressDisplay, render_progress
from sandbox.view.steps import render_notice
from sandbox.view.terminal import stderr

SECONDS = re.compile(r"\d+\.\d s")
ONE, TWO = "127.0.0.1:5999/sample/one:1", "127.0.0.1:5999/sample/two:1"


def records(name):
    reader = ProgressReader()
    return [progress for line in recorded(name) if (progress := reader.read(line))]


def show(file, monkeypatch, name, *, fails_at=None, wait=lambda: None):
    """Print a line beside the last record but one, after waiting for what is to be seen; or fail after a record."""
    monkeypatch.setattr("sys.stderr", file)
    console = stderr()
    with ProgressDisplay(console) as display:
        shown = records(name)
        for number, progress in enumerate(shown):
            display.show(progress)
            if number in (len(shown) - 2, fails_at):
                wait()
                console.print(render_notice(Notice(text="beside it")))
            if number == fails_at:
                raise KeyboardInterrupt
        console.print("after it")


class Screen:
    """What a terminal shows of the few things that are sent here: lines, the cursor up, a line erased."""

    def __init__(self):
        self.lines, self.row, self.column, self.cursor = [""], 0, 0, True

    def take(self, text):
        for piece in re.findall(r"\x1b\[[?\d;]*[A-Za-z]|\r|\n|[^\x1b\r\n]+", text):
            match piece:
                case "\r":
                    self.column = 0
                case "\n":
                    self.row += 1
                    self.lines += [""] * (self.row + 1 - len(self.lines))
                case "\x1b[1A":
                    self.row -= 1
                case "\x1b[2K":
                    self.lines[self.row] = ""
                case "\x1b[?25l" | "\x1b[?25h":
                    self.cursor = piece.endswith("h")
                case _ if piece.startswith("\x1b["):
                    assert piece.endswith("m"), f"unknown to this screen: {piece!r}"
                case _:
                    line = self.lines[self.row].ljust(self.column)
                    self.lines[self.row] = line[: self.column] + piece + line[self.column + len(piece) :]
                    self.column += len(piece)

    @property
    def shown(self):
        return [SECONDS.sub("… s", line.rstrip()) for line in self.lines if line.strip()]


@pytest.fixture
def terminal(monkeypatch):
    """A function that shows a recording on a terminal, and returns all that was sent and the screen at its end."""
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")

    def run(name, to_see="", **options):
        ours, theirs = os.openpty()
        sent = []

        def read():
            try:
                while piece := os.read(ours, 1 << 16):
                    sent.append(piece)
            except OSError:  # so Linux tells that the other end was closed
                pass

        reader = threading.Thread(target=read)
        reader.start()
        try:
            with os.fdopen(theirs, "w") as file:
                wait = partial(until, lambda: to_see.encode() in b"".join(sent), what=to_see)
                show(file, monkeypatch, name, wait=wait, **options)
        except KeyboardInterrupt:
            assert "fails_at" in options
        finally:
            reader.join()
            os.close(ours)
        text = b"".join(sent).decode()
        screen = Screen()
        screen.take(text)
        return text, screen

    return run


def test_a_file_gets_two_lines_an_image(monkeypatch):
    file = io.StringIO()
    show(file, monkeypatch, "pull")
    assert [SECONDS.sub("… s", line) for line in file.getvalue().splitlines()] == [
        *[f"… pulling {item}" for item in dict.fromkeys(progress.item for progress in records("pull"))],
        f"✔ pulled {TWO}  500.3 kB in … s",
        "! beside it",
        f"✔ pulled {ONE}  4.2 MB in … s",
        "after it",
    ]


def test_a_file_gets_no_bars_however_much_colour_is_wanted(monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    file = io.StringIO()
    show(file, monkeypatch, "pull")
    assert "━" not in file.getvalue()
    assert "\x1b[?25l" not in file.getvalue()


def test_a_terminal_gets_bars_and_keeps_what_ended(terminal):
    text, screen = terminal("pull", to_see=" of 4.2 MB")
    assert "━" in text
    assert screen.shown == [f"✔ pulled {TWO}  500.3 kB in … s", "! beside it", f"✔ pulled {ONE}  4.2 MB in … s", "after it"]
    assert screen.cursor


def test_a_terminal_shows_the_step_of_a_build(terminal):
    _, screen = terminal("build-buildkit", to_see="resolving provenance for metadata file")
    assert screen.shown == ["! beside it", "✔ built recorded/one:1  … s", "after it"]


def test_what_is_interrupted_leaves_a_clean_terminal(terminal):
    text, screen = terminal("pull", fails_at=5)
    assert "━" in text
    assert screen.shown == ["! beside it"]
    assert screen.cursor


def test_a_terminal_that_can_do_nothing_gets_lines(terminal, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    text, _ = terminal("pull")
    assert "\x1b" not in text
    assert f"… pulling {ONE}" in text


@pytest.mark.parametrize("kind", get_args(Progress.__annotations__["kind"]))
def test_there_are_words_for_each_kind(kind):
    for finished in (False, True):
        record = Progress(kind=kind, item="x", detail="", done_bytes=1, total_bytes=1, finished=finished)
        assert render_progress(record, 0.0).plain


def test_names_are_shown_not_obeyed(monkeypatch):
    monkeypatch.setattr("sys.stderr", io.StringIO())
    console = stderr()
    assert isinstance(console, Console)
    with ProgressDisplay(console) as display:
        item = "[red]\x1b[2Jx{task}"
        for finished in (False, True):
            display.show(Progress(kind="build", item=item, detail="", done_bytes=None, total_bytes=None, finished=finished))
    assert "\\x1b[2Jx{task}" in console.file.getvalue()
    assert "[red]" in console.file.getvalue()
