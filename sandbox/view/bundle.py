"""What is in a bundle, and what became of it."""

from rich.table import Table
from rich.text import Text

from sandbox.events.bundle import Bundled
from sandbox.view.terminal import printable


def render_bundle(bundled: Bundled) -> Table:
    """A row for each part and one for the whole file."""
    from rich.filesize import decimal

    table = Table.grid(padding=(0, 2))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    for part in bundled.parts:
        table.add_row(printable(part.name), decimal(part.size_bytes), part.outcome)
    made = (
        f"{printable(bundled.platform)}, sandbox {printable(bundled.sandbox_version)}, Envoy {printable(bundled.envoy_version)}"
    )
    table.add_row(Text(printable(bundled.file), "bold"), decimal(bundled.total_bytes), made)
    return table
