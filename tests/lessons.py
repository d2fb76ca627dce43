"""Lessons as they are written: their console blocks, and a terminal to type them into.

A block is ```console, in the first terminal, or ```console second, in the second one. In the first, each command has ended before
the next one is typed. In the second a command goes on: what stands below it, or in a later block without a `$`, comes some time.
"""

import doctest
import os
import re
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

BLOCK = re.compile(r"^```console(?P<second> second)?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
PATIENCE_S = 90.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """A command, none where only more output of one that runs is shown; and what is shown, `…` for what varies."""

    second: bool
    command: str
    shown: str


def read_steps(path: Path) -> Iterator[Step]:
    """Every step of a lesson, in its order."""
    for block in BLOCK.finditer(path.read_text(encoding="utf-8")):
        before, *commands = re.split(r"^\$ ", block["text"], flags=re.MULTILINE)
        if before:
            yield Step(second=bool(block["second"]), command="", shown=before)
        for each in commands:
            command, _, shown = each.partition("\n")
            yield Step(second=bool(block["second"]), command=command, shown=shown)


def matches(shown: str, printed: str) -> bool:
    """Whether it is what is shown; a line that is nothing but `…` stands for any lines, and none."""
    wanted = re.sub(r"^…\n", "…", shown, flags=re.MULTILINE).replace("…", "...")
    got = re.sub(r"[ \t\r]+$", "", printed, flags=re.MULTILINE).replace("…", "...")
    return doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)


class Terminal:
    """A shell that somebody types into; it shows both outputs of what runs in it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._shell = subprocess.Popen(
            ["bash", "--norc"],
            cwd=folder,
            env=dict(environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            process_group=0,
        )
        self._printed = ""
        self._changed = threading.Condition()
        threading.Thread(target=self._read, daemon=True).start()

    @property
    def pid(self) -> int:
        """Its process group."""
        return self._shell.pid

    def type(self, line: str) -> None:
        """Type a line."""
        assert self._shell.stdin
        self._shell.stdin.write(f"{line}\n".encode())
        self._shell.stdin.flush()

    def run(self, command: str) -> str:
        """Type a command, wait for its end, and return what it printed."""
        end = f"end-{uuid.uuid4()}"
        self.type(f"{command}\necho {end}")
        printed = self._await(lambda text: end in text, command)
        return printed.partition(end)[0]

    def expect(self, shown: str) -> None:
        """Wait until what is shown was printed, after what was expected before."""

        def is_there(text: str) -> bool:
            lines = text.splitlines(keepends=True)
            return any(matches(shown, "".join(lines[:count])) for count in range(len(lines), 0, -1))

        self._await(is_there, shown)

    def close(self) -> None:
        """Hang up."""
        assert self._shell.stdin
        self._shell.stdin.close()
        self._shell.wait(PATIENCE_S)

    def _await(self, is_there: Callable[[str], bool], what: str) -> str:
        deadline = time.monotonic() + PATIENCE_S
        with self._changed:
            while not is_there(self._printed):
                left_s = deadline - time.monotonic()
                assert left_s > 0, f"{what!r} did not come; printed was:\n{self._printed}"
                self._changed.wait(left_s)
            printed, self._printed = self._printed, ""
            return printed

    def _read(self) -> None:
        assert self._shell.stdout
        while chunk := os.read(self._shell.stdout.fileno(), 1 << 16):
            with self._changed:
                self._printed += chunk.decode(errors="replace")
                self._changed.notify_all()
        self._shell.stdout.close()
