"""What `new` has made, and what to type next."""

from rich.text import Text

from sandbox.events.filter import ProjectMade
from sandbox.view.terminal import printable

_LANGUAGES = {"go": "Go", "c": "C", "assemblyscript": "AssemblyScript"}


def render_made(made: ProjectMade) -> Text:
    """Where it is, its files, and the commands that start it."""
    head = Text.assemble(("✔ ", "green"), f"a filter in {_LANGUAGES.get(made.language, made.language)}: {printable(made.folder)}")
    files = (Text(f"  {name}", "dim") for name in made.files)
    commands = (Text(f"  {printable(command)}", "bold") for command in made.next_commands)
    return Text("\n").join([head, *files, Text("next:"), *commands])
