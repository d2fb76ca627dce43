"""What a filter is built from, and what came of it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Toolchain = Literal["go", "tinygo", "command"]
"""`command` is whatever the project says."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """The project's folder, and in it the folder with the filter's sources. Paths are absolute.

    `command` is a line for the shell, run in `root`, and `output` the file that it writes; empty and None where Go builds it.
    """

    root: Path
    source: Path
    command: str = ""
    output: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """A module as the store has it. `elapsed_s` is what the compiler took; `version` is the compiler's, of a command empty."""

    path: Path
    sha256: str
    size_bytes: int
    elapsed_s: float
    toolchain: Toolchain
    version: str
