"""`doctor`, `version`."""

import typer

from sandbox.cli.app import app
from sandbox.cli.options import Output, OutputOption


@app.command()
def version(output: OutputOption = Output.TEXT) -> None:
    """Show the versions of the sandbox and of the Envoy it runs."""
    from sandbox import __version__
    from sandbox.envoy.binary import envoy_version

    if output is Output.JSON:
        from sandbox.view.terminal import print_json

        print_json({"sandbox": __version__, "envoy": envoy_version()})
    else:
        typer.echo(f"sandbox {__version__}\nenvoy   {envoy_version()}")
