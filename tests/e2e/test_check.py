"""`check`: the real Envoy is asked the same, the shipped modules, the tests' own Go filter, and whatever a path can lead to."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from filters import HERE, build_deeds
from stacks import Sandbox
from typer.testing import CliRunner
from wasm_cases import ADVISE, CASES, FILTER, GOOD, Case

from sandbox.cli.main import app
from sandbox.envoy.binary import envoy_version, find_envoy
from sandbox.errors import ConfigError
from sandbox.session.check import check
from sandbox.stack import MAX_MODULE_BYTES
from sandbox.toolchain import module_file
from sandbox.toolchain.check.judge import judge
from sandbox.toolchain.check.offer import ABIS, expected, load_offer
from sandbox.toolchain.find import find_go
from sandbox.toolchain.module_file import read_module_file
from sandbox.workspace import HOME, Project
from tools.ask_envoy import ask_envoy
from tools.host_calls import asked, offered
from tools.wasm_writer import write_module

VERSION = ".".join(envoy_version().split(".")[:2])
ALL = ("1.36", "1.37", "1.38", "1.39", "1.40")


def run(*words: str) -> tuple[int, str]:
    """Exit code and stdout, in this process."""
    result = CliRunner().invoke(app, ["check", *words])
    return result.exit_code, result.stdout


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_envoy_does_as_was_judged(case: Case):
    verdict = ask_envoy(find_envoy(), case.module)
    assert verdict.accepted is not case.refused, verdict.said
    report = judge(case.module, VERSION)
    assert (report.level == "refused", VERSION in report.accepted_by) == (case.refused, not case.refused), report.findings
    assert not case.refused or (report.reason and case.said in report.reason.text), report.findings


def test_the_envoy_of_the_sandbox_is_measured():
    assert VERSION in load_offer().envoys == ALL


@pytest.mark.parametrize("abi", ABIS)
def test_the_table_says_what_this_envoy_does(abi: str):
    offer = load_offer()
    calls, callbacks = (
        {name: signature for name, entries in table.items() if (signature := expected(entries, abi, VERSION))}
        for table in (offer.calls, offer.callbacks)
    )
    key = abi.replace(".", "_")
    assert offered(find_envoy(), key, [*calls, "env.proxy_dance"], calls) == calls
    assert asked(find_envoy(), key) == callbacks


@pytest.mark.parametrize(("kind", "toolchain"), [("tinygo", "TinyGo 0.41.1"), ("go", "Go 1.26.6")])
def test_the_shipped_modules(kind: str, toolchain: str):
    file = Project(root=HOME).module(kind)
    code, out = run(str(file), "-o", "json")
    report = json.loads(out)
    assert (code, report["level"], report["abi"], report["toolchain"]) == (0, "ok", "0.2.0", toolchain)
    manifest = {item["file"]: item for item in json.loads((file.parent / "manifest.json").read_text())}
    assert (report["sha256"], report["size_bytes"]) == (manifest[file.name]["sha256"], manifest[file.name]["size"])
    assert report["load_s"] == pytest.approx(1.2e-6 * report["code_bytes"] + 0.03, abs=0.01)
    assert {"proxy_on_tick", "proxy_on_http_call_response", "proxy_on_response_headers"} <= set(report["callbacks"])
    assert {"name": "env.proxy_http_call", "offered": True} in report["host_calls"]
    assert report["accepted_by"] == list(ALL)


def go_name() -> str:
    """The Go that builds the tests' filter."""
    go = find_go()
    assert go
    return f"Go {go.version}"


def build_in_main(folder: Path, *flags: str) -> Path:
    """The tests' own filter as nobody should write it: registered in `main()`."""
    source = shutil.copytree(HERE / "deeds", folder / "source")
    text = (source / "main.go").read_text()
    assert "func main() {}" in text
    (source / "main.go").write_text(text.replace("func main() {}", "").replace("func init() {", "func main() {"))
    go = find_go()
    assert go
    out = folder / "out.wasm"
    environment = {**os.environ, "GOOS": "wasip1", "GOARCH": "wasm", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}
    command = (go.program, "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", *flags, "-o", out, ".")
    subprocess.run(command, cwd=source, env=environment, check=True)
    return out


def test_gos_program_is_refused_for_what_it_does_at_its_end(tmp_path: Path):
    file = build_in_main(tmp_path)
    report = check(file, envoy=None)
    assert report.reason
    assert "_start ends in proc_exit" in report.reason.text
    assert any(
        "_start failed: Uncaught Error: restricted_callback" in line for line in ask_envoy(find_envoy(), file.read_bytes()).said
    )


def test_a_go_filter_that_registers_in_main(tmp_path: Path):
    report = check(build_in_main(tmp_path, "-buildmode=c-shared"), envoy=None)
    [warning] = [finding for finding in report.findings if finding.level != "ok"]
    assert warning.text == "package main has no init(): what it registers in main() is never registered"


def test_a_go_filter(tmp_path: Path):
    report = check(build_deeds(tmp_path), envoy=None)
    assert (report.level, report.toolchain, report.abi) == ("ok", go_name(), "0.2.0"), report.findings


def test_the_help_names_the_versions():
    assert f"{ALL[0]} to {ALL[-1]}" in CliRunner().invoke(app, ["check", "--help"]).output


def test_the_exit_code_and_the_words_of_a_refused_one(sandbox: Sandbox, tmp_path: Path):
    file = tmp_path / "x.wasm"
    file.write_bytes(GOOD[:-3])
    done = sandbox.run("check", str(file)).expect(6)
    assert "✘ format      is cut off: its code section, at byte" in done.stdout
    assert "→ build or copy it again" in done.stdout
    assert done.stdout.endswith(f"Envoy {VERSION} would refuse it\n")
    assert done.stderr == ""
    assert not sandbox.state.exists()


def test_the_envoy_that_was_chosen(tmp_path: Path):
    file = tmp_path / "x.wasm"
    file.write_bytes(write_module(FILTER, [ADVISE]))
    code, out = run(str(file), "--envoy", "1.38.2")
    assert code == 6
    assert "imports wasi_snapshot_preview1.fd_advise, which Envoy 1.38 does not have; Envoy 1.39 to 1.40 has it" in out
    assert "would refuse it; nothing speaks against it in 1.39, 1.40" in out
    assert run(str(file), "--envoy", "1.39")[0] == 0
    result = CliRunner().invoke(app, ["check", str(file), "--envoy", "1.35"])
    assert result.exit_code == 2
    assert "what Envoy 1.35 offers is not known" in result.stderr


def test_what_a_path_can_lead_to(sandbox: Sandbox, tmp_path: Path):
    """Nothing blocks, and nothing of a large file is read."""
    pipe, large, gone, loop = (tmp_path / name for name in ("pipe", "large.wasm", "gone.wasm", "loop"))
    os.mkfifo(pipe)
    loop.symlink_to(loop)
    with large.open("wb") as file:
        file.truncate(MAX_MODULE_BYTES + 1)
    for path, said in (
        (tmp_path, "is a folder, not a file"),
        (pipe, "is a pipe, not a file"),
        (Path(os.devnull), "is a device, not a file"),
        (large, "has 67,108,865 bytes; at most 67,108,864 are loaded"),
        (gone, "No such file or directory"),
        (loop, "Too many levels of symbolic links"),
        (Path("x\0y"), "null byte"),
    ):
        with pytest.raises(ConfigError) as caught:
            read_module_file(path)
        assert said in caught.value.message
        assert caught.value.exit_code == 2
    assert sandbox.run("check", str(pipe)).expect(2).error == f"error: {pipe} is a pipe, not a file"


def test_no_permission(tmp_path: Path):
    file = tmp_path / "x.wasm"
    file.write_bytes(GOOD)
    file.chmod(0)
    own = os.geteuid()
    if own == 0:
        os.seteuid(65_534)  # root may read everything
    try:
        with pytest.raises(ConfigError, match="Permission denied"):
            read_module_file(file)
    finally:
        os.seteuid(own)


@pytest.mark.parametrize("change", [lambda file: file.write_bytes(GOOD + b"\0"), lambda file: os.truncate(file, 20), os.utime])
def test_a_file_that_changes_while_it_is_read(change, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = tmp_path / "x.wasm"
    file.write_bytes(GOOD)
    os.utime(file, (1, 1))
    real, calls = os.fstat, []

    def fstat(handle: int) -> os.stat_result:
        answer = real(handle)
        if not calls:
            change(file)
        calls.append(handle)
        return answer

    monkeypatch.setattr(module_file.os, "fstat", fstat)
    with pytest.raises(ConfigError, match="changed while it was read"):
        read_module_file(file)
