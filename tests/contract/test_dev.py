"""`dev` on every engine: what is saved goes live, what is wrong changes nothing, and the last save wins.

The filter is built by a command, which is quick and can be told to fail: the shipped module with what was saved in it.
"""

import hashlib
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from load import Load
from stacks import Done, Sandbox, copy_project, interrupt, read_lines, replace_text, until
from test_lifecycle import ENGINES, at_hand, engine
from wasm_cases import CONFIGURE, FILTER

from sandbox.workspace import HOME, Project
from tools.wasm_writer import TRAP, Function, custom, write_module

__all__ = ["engine"]

SHIPPED = Project(root=HOME).module("tinygo").read_bytes()
REFUSED = write_module([*FILTER[:-2], Function(name=CONFIGURE.name, signature=CONFIGURE.signature, body=TRAP)])
BUILD = """
import sys, time
from pathlib import Path
from tools.wasm_writer import custom
text = Path("src/text").read_text()
if "slow" in text:
    Path("building").touch()
    while not Path("go-on").exists():
        time.sleep(0.01)
if "broken" in text:
    sys.exit("src/text:1:1: that does not compile")
module = Path("refused.wasm" if "refused" in text else "shipped.wasm").read_bytes()
Path("out.wasm").write_bytes(module + custom("text", text.encode()))
"""
SETTINGS = f"""
filter:
  source: src
  build: PYTHONPATH={HOME} exec "$PYTHON" build.py
  output: out.wasm
"""


def built(text: str) -> str:
    """The hash of what is built from that."""
    return hashlib.sha256(SHIPPED + custom("text", text.encode())).hexdigest()


class Following:
    """A `dev` that runs, in a project whose filter is what was saved last."""

    def __init__(self, stack: Sandbox, root: Path, *options: str) -> None:
        self.stack = stack
        self.root = root
        self.process = stack.start("dev", "-o", "json", *options)

    def save(self, text: str, name: str = "text") -> None:
        """As editors do: beside it, then by rename."""
        beside = self.root / "src" / f".{name}.new"
        beside.write_text(text)
        beside.replace(self.root / "src" / name)

    def next(self, wanted: Callable[[dict[str, Any]], bool] = lambda _: True) -> dict[str, Any]:
        """The next cycle that is wanted."""
        lines = read_lines(
            self.process.stdout, lambda line: json.loads(line)["event"] in {"live", "failed"} and wanted(json.loads(line))
        )
        return next(cycle for cycle in map(json.loads, lines) if cycle["event"] in {"live", "failed"} and wanted(cycle))

    def end(self) -> Done:
        interrupt(self.process)
        return self.stack.finish(self.process).expect(130)


def lay_out(project: Path) -> Path:
    """Make the project's filter what is built from `src/text`."""
    (project / "build.py").write_text(BUILD)
    (project / "shipped.wasm").write_bytes(SHIPPED)
    (project / "refused.wasm").write_bytes(REFUSED)
    (project / "sandbox.yaml").write_text(SETTINGS)
    (project / "src").mkdir()
    (project / "src" / "text").write_text("first")
    return project


@pytest.fixture(scope="module", params=ENGINES)
def steady(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack of a project that every test may change."""
    folder = tmp_path_factory.mktemp("dev")
    project = lay_out(copy_project(folder / "project"))
    with Sandbox(folder, project=project, environment={"SANDBOX_ENGINE": at_hand(request)}).running() as sandbox:
        yield sandbox


@pytest.fixture
def root(steady: Sandbox) -> Path:
    """The project's folder, as it was at first."""
    root = steady.project.root
    shutil.rmtree(root / "src")
    (root / "src").mkdir()
    (root / "src" / "text").write_text("first")
    shutil.copy(Project(root=HOME).filter_yaml, root / "envoy/xds/filter.yaml")
    for name in ("building", "go-on"):
        (root / name).unlink(missing_ok=True)
    return root


@pytest.fixture
def following(steady: Sandbox, root: Path) -> Iterator[Following]:
    following = Following(steady, root)
    first = following.next()
    assert (first["event"], first["changed"]) == ("live", ["first build"])
    yield following
    if following.process.poll() is None:
        following.end()


def live(stack: Sandbox) -> str:
    return str(stack.status()["filter_sha256"])


def test_what_is_saved_goes_live_and_what_is_wrong_changes_nothing(following: Following):
    stack = following.stack
    with Load(f"http://127.0.0.1:{stack.ports['ingress']}") as load:
        following.save("second")
        done = following.next()
        assert (done["event"], done["changed"], done["swapped"]["probed"]["lost"]) == ("live", ["text"], 0)
        assert live(stack) == built("second")

        following.save("broken")
        failed = following.next()
        assert (failed["event"], failed["message"][:43]) == ("failed", "the build command failed with exit code 1: ")
        assert "src/text:1:1: that does not compile" in failed["details"]
        assert failed["serving"].startswith(built("second")[:12])
        assert live(stack) == built("second")

        following.save("refused")
        failed = following.next()
        assert failed["message"].startswith("Envoy refused the filter: proxy_on_configure")
        assert (failed["details"], failed["serving"]) == (f"{built('second')[:12]} serves on", "")
        assert live(stack) == built("second")

        replace_text(following.root / "envoy/xds/filter.yaml", "hello from wasm", "hello to all")
        failed = following.next()
        assert (failed["event"], failed["changed"]) == ("failed", ["filter.yaml"])  # not the old module with it
        assert live(stack) == built("second")

        following.save("third")
        assert following.next()["event"] == "live"
        assert live(stack) == built("third")

        replace_text(following.root / "envoy/xds/filter.yaml", "hello to all", "hello from yaml")
        done = following.next()
        assert (done["changed"], done["built"]) == (["filter.yaml"], None)
        assert "hello from yaml" in stack.run("curl", "-i", "/").stdout
    assert load.strange == []


def test_the_last_save_wins(following: Following):
    following.save("slow 1")
    until((following.root / "building").exists)
    for number in range(2, 12):
        following.save(f"slow {number}")
    (following.root / "go-on").touch()
    done = following.next(lambda cycle: cycle["event"] == "live")
    assert done["built"]["sha256"] == built("slow 11")
    assert live(following.stack) == built("slow 11")
    assert "! saved while the filter was built, so it is built once more: text" in following.end().stderr


def test_many_files_at_once_are_one_build(following: Following, tmp_path: Path):
    """As `git checkout` does."""
    source = following.root / "src"
    git = ("git", "-c", "user.name=a", "-c", "user.email=a@b", "-C", str(source))
    for number in range(200):
        (source / f"f{number}").write_text("old")
    subprocess.run((*git, "init", "-q"), check=True)
    subprocess.run((*git, "add", "."), check=True)
    subprocess.run((*git, "commit", "-qm", "old"), check=True)
    following.next()
    for number in range(200):
        (source / f"f{number}").write_text("new")
    following.save("other")
    following.next(lambda cycle: cycle["event"] == "live" and "text" in cycle["changed"] and len(cycle["changed"]) > 1)
    subprocess.run((*git, "checkout", "-q", "."), check=True)
    done = following.next(lambda cycle: "text" in cycle["changed"])
    assert (done["event"], len(done["changed"])) == ("live", 201)
    assert live(following.stack) == built("first")


def test_ctrl_c_in_a_build_leaves_nothing(following: Following):
    following.save("slow")
    until((following.root / "building").exists)
    following.end()
    assert live(following.stack) == built("first")


def test_a_source_folder_that_goes_and_comes_back(following: Following):
    source, away = following.root / "src", following.root / "away"
    source.rename(away)
    failed = following.next()
    assert (failed["event"], failed["serving"][:12]) == ("failed", built("first")[:12])
    shutil.copytree(away, source)
    following.save("back")
    following.next(lambda cycle: cycle["event"] == "live" and "text" in cycle["changed"])
    assert until(lambda: live(following.stack) == built("back"))


def test_a_configuration_is_saved_for_the_projects_own_filter(following: Following):
    """Whatever somebody else has made live meanwhile."""
    stack = following.stack
    stack.run("swap", str(Project(root=HOME).module("tinygo"))).expect(0)
    assert live(stack) != built("first")
    replace_text(following.root / "envoy/xds/filter.yaml", "hello from wasm", "hello again")
    done = following.next()
    assert (done["event"], done["changed"], done["built"]) == ("live", ["filter.yaml"], None)
    assert live(stack) == built("first")


def test_what_is_logged_and_what_passes_is_shown_beside(steady: Sandbox, root: Path):
    following = Following(steady, root, "--logs", "--watch")
    following.next()
    seen: list[dict[str, Any]] = []

    def both() -> bool:
        following.save(f"to be logged, with {len(seen)} seen")
        steady.run("curl", "-s", "/status/418").expect(0)
        seen.extend(map(json.loads, read_lines(following.process.stdout, lambda _: True)))
        return any(item.get("status") == 418 for item in seen) and any(item.get("event") == "log" for item in seen)

    assert until(both), seen
    following.end()


def test_go_test_is_for_go(steady: Sandbox):
    assert "this filter is built by a command" in steady.run("dev", "--test").expect(2).error


def test_dev_starts_a_stack_with_what_it_built(make_sandbox, engine: str, project: Path):
    stack = make_sandbox(project=lay_out(project), environment={"SANDBOX_ENGINE": engine})
    for name, port in stack.ports.items():
        stack.environment[f"SANDBOX_{name.upper()}_PORT"] = str(port)
    following = Following(stack, project)
    done = following.next()
    assert (done["event"], done["swapped"]) == ("live", None), done
    assert live(stack) == built("first")
    following.end()
    assert stack.status()["phase"] == "running"
    stack.down()
