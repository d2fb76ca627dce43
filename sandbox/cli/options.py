"""Options that several verbs share.

Facts of the stack are typed again in help texts: importing them would cost every command 3 ms. A test compares them.
"""

from enum import StrEnum
from typing import Annotated

import typer


class Output(StrEnum):
    """How a verb prints its data."""

    TEXT = "text"
    JSON = "json"


class StatusOutput(StrEnum):
    """How `status` prints its data."""

    TEXT = "text"
    JSON = "json"
    ENV = "env"


OutputOption = Annotated[Output, typer.Option("--output", "-o", help="How to print the data.", show_default=True)]
EngineOption = Annotated[str | None, typer.Option("--engine", help="auto, docker or local.", show_default=False)]
ServicesArgument = Annotated[list[str] | None, typer.Argument(help="envoy, jwt-api, upstream, console; none: all.")]


class Toolchain(StrEnum):
    """What builds the project's filter."""

    GO = "go"
    TINYGO = "tinygo"


ToolchainOption = Annotated[
    Toolchain | None,
    typer.Option("--toolchain", help="The compiler.  [default: the project's own build, else go]", show_default=False),
]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", help="Seconds to wait for the stack.  [default: 60]", show_default=False)
]
