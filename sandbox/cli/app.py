"""The application, and the one boundary at which an error becomes a message and an exit code."""

import errno
import os
import sys
from pathlib import Path
from typing import Any

import typer

from sandbox.cli.interrupts import forget_interrupt, interruptible, is_interrupt
from sandbox.errors import PreconditionError, SandboxError

INTERRUPTED = 130
BUG = 70


class Boundary(typer.core.TyperGroup):
    """Every verb runs inside `invoke`, in a process as in a test."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb; turn what it raises into a message on stderr and `typer.Exit`."""
        try:
            with interruptible():
                _make_outputs_safe()
                result = super().invoke(ctx)
                sys.stdout.flush()
        except SandboxError as error:
            _print_error(error)
            raise typer.Exit(error.exit_code) from None
        except KeyboardInterrupt:
            raise typer.Exit(_tell_interrupt()) from None
        except BrokenPipeError:
            # The reader has seen enough (`sandbox logs | head`); what is still buffered has nowhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            raise typer.Exit(0) from None
        except ImportError as error:
            typer.echo(f"error: the installation is not whole: {error}\nhint: make clean up", err=True)
            raise typer.Exit(PreconditionError.exit_code) from None
        except Exception as error:
            if type(error).__module__.startswith("typer"):
                raise
            raise typer.Exit(_explain_unknown(error)) from None
        return result


def _make_outputs_safe() -> None:
    """A closed output takes what is written and forgets it; a character that an output lacks becomes `?`."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - until the end
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _explain_unknown(error: Exception) -> int:
    """Say what an error means that is none of ours; the exit code."""
    if is_interrupt(error):
        return _tell_interrupt()
    if _is_about_stdout(error):
        typer.echo(f"error: cannot write the output: {error}", err=True)
        return SandboxError.exit_code
    _report_bug(error)
    return BUG


def _tell_interrupt() -> int:
    """Say so; the exit code."""
    forget_interrupt()
    typer.echo("interrupted", err=True)
    return INTERRUPTED


def _is_about_stdout(error: Exception) -> bool:
    """Whether it is stdout that is full or gone; then nothing must be left in its buffer, which Python writes at its end."""
    if not isinstance(error, OSError) or error.filename is not None or error.errno not in (errno.ENOSPC, errno.EIO, errno.EBADF):
        return False
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    return True


def _print_error(error: SandboxError) -> None:
    from sandbox.view.errors import render_error
    from sandbox.view.terminal import stderr

    stderr().print(render_error(error))


def _report_bug(error: Exception) -> None:
    from sandbox.cli.crash import report_bug

    typer.echo(report_bug(error), err=True, nl=False)


app = typer.Typer(
    cls=Boundary,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # plain help costs a third of what rich makes of it
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Write, run, see and break Envoy Wasm filters on one machine.",
    epilog="Start with: sandbox up, then sandbox curl /",
)
