"""`new`, and what it makes: in each language the project builds, passes its tests and runs, by the steps of its own CI."""

import functools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from go_builds import go_caches
from stacks import Sandbox, replace_text

from sandbox.session.check import check
from sandbox.session.new_files import render_project
from sandbox.toolchain.check.report import OK
from sandbox.workspace import HOME, LANGUAGES, Project

MakeSandbox = Callable[..., Sandbox]
GREETING = ["x-wasm-filter", "hello from my filter"]
TOOLS = Path(sys.executable).parent
"""Where the wheels of this environment have Node.js and npm, Go, and the sandbox itself; Zig is found beside the Python."""


@functools.cache
def tools() -> Mapping[str, str]:
    """The variables of the user's own tools: what they have downloaded and compiled is not had again."""
    home = Path.home()
    return {
        **go_caches(),
        "GOTOOLCHAIN": "local",
        "PATH": os.pathsep.join((str(TOOLS), os.environ["PATH"])),
        "ZIG_GLOBAL_CACHE_DIR": os.environ.get("ZIG_GLOBAL_CACHE_DIR", str(home / ".cache" / "zig")),
        "NPM_CONFIG_CACHE": os.environ.get("NPM_CONFIG_CACHE", str(home / ".npm")),
        "NPM_CONFIG_USERCONFIG": os.environ.get("NPM_CONFIG_USERCONFIG", str(home / ".npmrc")),
        "NPM_CONFIG_UPDATE_NOTIFIER": "false",
        "NODE_DISABLE_COMPILE_CACHE": "1",
    }


def make_project(make_sandbox: MakeSandbox, folder: Path, language: str, **variables: str) -> Sandbox:
    """A new project, and a sandbox in it."""
    maker = make_sandbox()
    project = folder / f"my-{language}"
    files = maker.json("new", str(project), "--lang", language)["files"]
    assert sorted(str(path.relative_to(project)) for path in project.rglob("*") if path.is_file()) == files
    return make_sandbox(project=project, environment={**tools(), **variables})


def shell(sandbox: Sandbox, command: str, *, fails: bool = False) -> str:
    """Run a command as a user's shell does in the project's folder, by which alone it is known; returns what it prints."""
    environment = {name: value for name, value in sandbox.environment.items() if name != "SANDBOX_PROJECT"}
    environment |= {f"SANDBOX_{name.upper()}_PORT": str(port) for name, port in sandbox.ports.items()}
    words = ("bash", "-e", "-c", command)
    done = subprocess.run(words, cwd=sandbox.project.root, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode != 0) is fails, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def ci_steps(sandbox: Sandbox) -> list[str]:
    """The commands of the project's own CI, but the one that installs what is installed here."""
    workflow = yaml.safe_load((sandbox.project.root / ".github/workflows/filter.yaml").read_text())
    [job] = workflow["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step and "pip install" not in step["run"]]


@pytest.mark.slow
@pytest.mark.parametrize("language", LANGUAGES)
def test_the_projects_own_ci_passes(language: str, make_sandbox: MakeSandbox, tmp_path: Path):
    """It tests the filter, builds it, starts a real Envoy with it, and sees the header."""
    own = make_project(make_sandbox, tmp_path, language)
    test, build, *steps, down = ci_steps(own)
    assert build == "sandbox build", "which is what up does first"
    assert [step.split()[1] for step in (*steps, down)] == ["up", "curl", "logs", "down"]
    shell(own, test)
    try:
        for step in steps:
            shell(own, step)
        [built] = (own.state / "builds").iterdir()
        report = check(built, envoy=None)
        maker = (report.toolchain or "C").partition(" ")[0].lower()
        assert (report.level, maker) == (OK, language), report.findings
        assert own.heard()["filter_sha256"] == report.sha256
        answer = own.json("curl", "/")
        assert GREETING in answer["headers"]
        assert GREETING in json.loads(answer["body"])["headers"]
        assert answer["no_token_because"] is None, "it never said that it had any"
        # Both configurations are then in one VM, each with a greeting of its own.
        configuration = own.folder / "configuration"
        configuration.write_text('{"greeting": "good day"}' if language == "go" else "good day\n")
        own.run("swap", "--config", str(configuration)).expect(0)
        assert ["x-wasm-filter", "good day"] in own.json("curl", "/")["headers"]
        own.run("rollback").expect(0)
        assert GREETING in own.json("curl", "/")["headers"]
    finally:
        shell(own, down)
    made = {line.removeprefix("?? ") for line in shell(own, "git init -q; git status --porcelain -uall").splitlines()}
    assert made == set(render_project(own.project.name, language)), "what is built is ignored"
    [source] = [own.project.root / "filter" / name for name in ("config.go", "filter.c", "index.ts") if name in str(made)]
    replace_text(source, '"x-wasm-filter"', '"x-wosm-filter"')
    shell(own, test, fails=True)


def test_the_tests_of_a_go_filter_run_inside_a_module(make_sandbox: MakeSandbox, tmp_path: Path):
    own = make_project(make_sandbox, tmp_path, "go")
    shell(own, "sandbox build --save filter/filter.wasm")
    shell(own, "cd filter && FILTER_WASM=filter.wasm go test ./...")
    other = Project(root=HOME).module("tinygo")
    assert "--- FAIL" in shell(own, f"cd filter && FILTER_WASM={other} go test ./...", fails=True)


def test_it_runs_on_docker(make_sandbox: MakeSandbox, tmp_path: Path, docker_engine: Any):
    own = make_project(make_sandbox, tmp_path, "c", **docker_engine.environment, SANDBOX_ENGINE="docker")
    try:
        own.up()
        assert GREETING in own.json("curl", "/")["headers"]
    finally:
        own.down()


def test_zig_is_installed_where_there_is_none(make_sandbox: MakeSandbox, tmp_path: Path):
    """Only told, not done: it is 100 MB."""
    own = make_project(make_sandbox, tmp_path, "c")
    told = shell(own, "make --dry-run PYTHON=false")
    assert "pip install" in told
    assert "--require-hashes --requirement filter/requirements.txt\n" in told
    assert "\nbuild/venv/bin/python -m ziglang cc " in told
    told = shell(own, "make --dry-run ZIG=zig")
    assert "\nzig cc " in told
    assert "pip" not in told
