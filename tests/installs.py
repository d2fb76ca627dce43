"""The sandbox installed from its wheel, far from any checkout."""

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Collection
from pathlib import Path

from stacks import REPOSITORY


def build_wheel(folder: Path) -> Path:
    """Build the sandbox's wheel."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    [built] = folder.glob("*.whl")
    return built


def install(wheel: Path, folder: Path, *, without: Collection[str] = ()) -> Path:
    """Install it in an environment of its own and return that one's Python.

    What it requires is linked from the environment of the tests; `without` are names in there, as they begin.
    """
    venv.create(folder, with_pip=False)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index", wheel)
    subprocess.run(pip, check=True)
    where = (python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))")
    site = Path(subprocess.run(where, check=True, capture_output=True, text=True).stdout.strip())
    for path in Path(sysconfig.get_path("purelib")).iterdir():
        unwanted = path.suffix == ".pth" or path.name.startswith(tuple(without))
        if not unwanted and not (site / path.name).exists():
            (site / path.name).symlink_to(path)
    return python
