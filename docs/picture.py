"""Take the picture in the README: what `sandbox curl /` prints on a terminal, as SVG. Needs a running sandbox."""

import io
import os
import re
import subprocess
import sys
from pathlib import Path

from rich.console import Console
from rich.text import Text

WIDTH = 100
COMMAND = ("sandbox", "curl", "--head", "/")


def main() -> None:
    """Write docs/curl.svg."""
    environment = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(WIDTH)}
    done = subprocess.run((sys.executable, "-m", *COMMAND), env=environment, check=True, capture_output=True, text=True)
    console = Console(record=True, width=WIDTH, file=io.StringIO())
    console.print(Text.from_ansi(f"$ {' '.join(COMMAND)}\n{done.stdout}".rstrip()))
    # The fonts that rich names would be fetched from elsewhere; the reader's own will do.
    svg = re.sub(r"@font-face \{.*?\}\s*", "", console.export_svg(title="sandbox"), flags=re.DOTALL)
    (Path(__file__).parent / "curl.svg").write_text(svg, encoding="utf-8")


if __name__ == "__main__":
    main()
