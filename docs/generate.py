"""Write the parts of the documents that are made from the code; `--check` only says whether they are as the code has them.

docs/architecture.md: the table of modules. docs/cli.md: the help of every command. docs/exchange.schema.json: what console and
`sandbox watch -o json` print of an exchange.
"""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- modules -->", "<!-- /modules -->"


def main() -> int:
    """Write or check; 1 when a check fails."""
    check = sys.argv[1:] == ["--check"]
    stale = []
    for name, make in (("architecture.md", architecture), ("cli.md", cli), ("exchange.schema.json", exchange_schema)):
        path, text = ROOT / "docs" / name, make()
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale.append(path)
        if not check:
            path.write_text(text, encoding="utf-8")
    if check and stale:
        sys.stderr.write(f"not as the code has it: {', '.join(path.name for path in stale)}; run: make docs\n")
        return 1
    return 0


def architecture() -> str:
    """The document with its table made anew."""
    before, _, rest = (ROOT / "docs/architecture.md").read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    rows = ["| Module | What it is | Lines |", "|---|---|---:|"]
    for folder in ("sandbox", "services"):
        for path in sorted((ROOT / folder).rglob("*.py"), key=lambda path: (str(path.parent), path.name)):
            text = path.read_text(encoding="utf-8")
            sentence = (ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].replace("\n", " ").replace("|", "\\|")
            rows.append(f"| `{path.relative_to(ROOT)}` | {sentence} | {len(text.splitlines())} |")
    return f"{before}{BEGIN}\n" + "\n".join(rows) + f"\n{END}{after}"


def cli() -> str:
    """Every command's `--help`, as it prints it."""
    environment = {**os.environ, "COLUMNS": "80", "NO_COLOR": "1"}

    def help_of(*words: str) -> str:
        command = (sys.executable, "-m", "sandbox", *words, "--help")
        return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout.rstrip()

    def sections(*words: str) -> list[str]:
        """Of a command, and of those below it."""
        text = help_of(*words)
        listed = text.partition("Commands:\n")[2].split("\n\n")[0].splitlines()
        verbs = [line.split()[0] for line in listed if line.startswith("  ") and not line.startswith("   ")]
        title = f"## {' '.join(('sandbox', *words))}\n\n" if words else ""
        return [f"{title}```text\n{text}\n```\n", *(section for verb in verbs for section in sections(*words, verb))]

    head = "# Commands\n\nMade by `make docs` from the help texts.\n"
    return "\n".join([head, *sections()])


def exchange_schema() -> str:
    """JSON Schema of the record."""
    from pydantic import TypeAdapter

    from sandbox.observe.exchange import Exchange

    schema = TypeAdapter(Exchange).json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=1) + "\n"


if __name__ == "__main__":
    sys.exit(main())
