"""Filters of other people: examples of the Go SDK, as a module of that time has them, run by `up --filter` as they are.

Built here from the pinned module, never committed. Of the source two lines are of its time: the address of the SDK, and that it
registers in `main`, which a reactor never calls.
"""

import json
import os
import subprocess
from pathlib import Path

import pytest
from stacks import Sandbox, replace_text, until

from sandbox.toolchain.find import find_go

SDK = "github.com/proxy-wasm/proxy-wasm-go-sdk v0.0.0-20260105142703-44c7d5847745"
EXAMPLES = "github.com/tetratelabs/proxy-wasm-go-sdk"
EXAMPLES_VERSION = "v0.16.0"
_BUILD = ("build", "-mod=mod", "-trimpath", "-buildvcs=false", "-buildmode=c-shared", "-ldflags=-s -w -buildid=")


def go(folder: Path, *words: str, **variables: str) -> str:
    found = find_go()
    assert found, "this test needs Go"
    environment = {**os.environ, "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local", **variables}
    done = subprocess.run([found.program, *words], cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def examples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("examples")
    return Path(json.loads(go(folder, "mod", "download", "-json", f"{EXAMPLES}@{EXAMPLES_VERSION}"))["Dir"]) / "examples"


def build(examples: Path, name: str, folder: Path) -> Path:
    source = folder / name
    source.mkdir()
    (source / "main.go").write_bytes((examples / name / "main.go").read_bytes())
    replace_text(source / "main.go", EXAMPLES, SDK.partition(" ")[0])
    replace_text(source / "main.go", "func main() {", "func main() {}\n\nfunc init() {")
    (source / "go.mod").write_text(f"module {name}\n\ngo 1.24\n\nrequire {SDK}\n")
    go(source, *_BUILD, "-o", str(folder / f"{name}.wasm"), ".", GOOS="wasip1", GOARCH="wasm")
    return folder / f"{name}.wasm"


def logged(stack: Sandbox, text: str) -> bool:
    return text in stack.run("logs", "--filter").stdout


def test_http_headers(sandbox: Sandbox, examples: Path, tmp_path: Path):
    sandbox.up("--filter", str(build(examples, "http_headers", tmp_path)))
    answer = until(lambda: (now := sandbox.json("curl", "/", "test:worst"))["exchange"] and now)
    added = [change for change in answer["exchange"]["request"]["changes"] if change["name"] == "test"]
    assert [change["after"] for change in added] == ["best"]
    assert ["test", "best"] in json.loads(sandbox.run("curl", "-s", "/", "test:worst").stdout)["headers"]
    assert until(lambda: logged(sandbox, "request header --> test: best"))
    sandbox.down()


def test_shared_data(sandbox: Sandbox, examples: Path, tmp_path: Path):
    sandbox.up("--filter", str(build(examples, "shared_data", tmp_path)))
    sandbox.run("curl", "-s", "/").expect(0)
    assert until(lambda: logged(sandbox, "shared value: 1000000"))
    sandbox.down()


def test_vm_plugin_configuration(sandbox: Sandbox, examples: Path, tmp_path: Path):
    config = tmp_path / "mine.json"
    config.write_text('{"mine": 1}')
    sandbox.up("--filter", str(build(examples, "vm_plugin_configuration", tmp_path)), "--config", str(config))
    assert until(lambda: logged(sandbox, 'plugin config: {"mine": 1}'))
    sandbox.down()
