"""An error: its cause in the first line, then what was seen, then the way on."""

from rich.text import Text

from sandbox.errors import SandboxError
from sandbox.view.terminal import printable


def render_error(error: SandboxError) -> Text:
    """`error: …`, the details indented, and a hint that can be pasted."""
    text = Text.assemble(("error: ", "bold red"), printable(error.message))
    for line in error.details.splitlines():
        text.append(f"\n  {printable(line)}", "dim")
    if error.hint:
        text.append("\nhint: ", "bold")
        text.append(printable(error.hint))
    return text
