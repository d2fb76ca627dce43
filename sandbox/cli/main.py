"""The program `sandbox`."""

from sandbox.cli.app import app


def main() -> None:
    """Run the command line."""
    app(prog_name="sandbox")
