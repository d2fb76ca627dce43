"""The program `sandbox`: the application with all its verbs."""

# Importing them registers them on `app`, in the order of the help.
# isort: off
from sandbox.cli.app import app
from sandbox.cli import stack
from sandbox.cli import new
from sandbox.cli import swap
from sandbox.cli import dev
from sandbox.cli import curl
from sandbox.cli import watch
from sandbox.cli import logs
from sandbox.cli import build
from sandbox.cli import check
from sandbox.cli import bundle
from sandbox.cli import machine

__all__ = ["app", "build", "bundle", "check", "curl", "dev", "logs", "machine", "main", "new", "stack", "swap", "watch"]


def main() -> None:
    """Run the command line."""
    app(prog_name="sandbox")
