"""An error: its cause in the first line, then what was seen, then the way on."""

from rich.text import Text

from sandbox.errors import SandboxError
from sandbox.observe.redact import redact
from sandbox.view.terminal import printable


def render_error(error: SandboxError) -> Text:
    """`error: …`, the details indented, and a hint that can be pasted."""
    text = Text.assemble(("error: ", "bold red"), _shown(error.message))
    for line in error.details.splitlines():
        text.append(f"\n  {_shown(line)}", "dim")
    if error.hint:
        text.append("\nhint: ", "bold")
        text.append(_shown(error.hint))
    return text


def _shown(text: str) -> str:
    """Much of it is quoted from others."""
    return printable(redact(text))
