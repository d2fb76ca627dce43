"""What the README shows was really printed: its `console` blocks are run, with `…` for what varies."""

import doctest
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
SET_UP = {"make up", "make test"}


def console_steps() -> list[tuple[str, str]]:
    """Every `$ command` of the README with what is shown below it."""
    steps = []
    for block in BLOCK.findall((ROOT / "README.md").read_text(encoding="utf-8")):
        for step in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, _, shown = step.partition("\n")
            steps.append((command, shown))
    return steps


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    values = {**os.environ, "PATH": path, "SANDBOX_STATE_DIR": str(tmp_path_factory.mktemp("readme") / "state")}
    subprocess.run(["sandbox", "up"], env=values, check=True, capture_output=True)
    yield values
    subprocess.run(["sandbox", "down", "--volumes"], env=values, check=True, capture_output=True)


def test_the_set_up_is_two_commands() -> None:
    commands = [command for command, _ in console_steps()]
    assert commands[:2] == ["make up", "make test"]


@pytest.mark.parametrize(("command", "shown"), [step for step in console_steps() if step[0] not in SET_UP])
def test_what_the_readme_shows(command: str, shown: str, environment: dict[str, str]) -> None:
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, text=True, check=True)
    wanted = shown.replace("…", "...")
    printed = re.sub(r"[ \t]+$", "", done.stdout, flags=re.MULTILINE)
    checker = doctest.OutputChecker()
    example = doctest.Example(command, wanted)
    assert checker.check_output(wanted, printed.replace("…", "..."), doctest.ELLIPSIS), checker.output_difference(
        example, printed, doctest.ELLIPSIS
    )
