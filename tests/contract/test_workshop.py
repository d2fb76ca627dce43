"""The lessons of the workshop, typed as they are written, on every engine; and what they show of the configuration is there."""

import os
import re
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from lessons import Terminal, matches, read_steps
from stacks import REPOSITORY, Sandbox
from test_lifecycle import engine

__all__ = ["engine"]

WORKSHOP = REPOSITORY / "docs" / "workshop"
LESSONS = sorted(WORKSHOP.glob("[0-9]-*.md"))
YAML = re.compile(r"^```yaml\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("lesson", LESSONS, ids=lambda path: path.stem)
def test_a_lesson_typed_as_it_is_written(
    lesson: Path, make_sandbox, engine: str, tmp_path: Path, record_property: Callable[[str, object], None]
):
    stack: Sandbox = make_sandbox(environment={"SANDBOX_ENGINE": engine})
    folder = tmp_path / "somewhere"
    folder.mkdir()
    environment = {
        **stack.environment,
        **{f"SANDBOX_{name.upper()}_PORT": str(port) for name, port in stack.ports.items()},
        "HOME": os.environ["HOME"],  # Go's caches
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    begun = time.monotonic()
    first, second = Terminal(folder, environment), None
    try:
        for step in read_steps(lesson):
            if step.second:
                if second is None:
                    second = Terminal(Path(first.run("pwd").strip()), environment)
                if step.command:
                    second.type(f"exec {step.command}")
                second.expect(step.shown)
            else:
                printed = first.run(step.command)
                assert matches(step.shown, printed), f"$ {step.command}\n{step.shown}\n--- but:\n{printed}"
    finally:
        try:
            if second:
                os.killpg(second.pid, signal.SIGINT)
                second.close()
        finally:
            first.run("sandbox down --volumes")
            first.close()
    record_property(f"lesson {lesson.stem} on {engine}", f"{time.monotonic() - begun:.1f} s of machine time")


def test_what_the_lessons_show_of_the_configuration_is_there():
    files = "\n".join((REPOSITORY / "envoy" / name).read_text() for name in ("envoy.yaml", "xds/filter.yaml"))
    shown = [block for lesson in LESSONS for block in YAML.findall(lesson.read_text())]
    assert len(shown) > 5
    assert [block for block in shown if block not in files] == []
