"""Whatever is given to `swap`: a reason in one line, the filter that was live still is, and Envoy stays small."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from stacks import Sandbox, get, interrupt, until
from wasm_cases import CASES, CONFIGURE, FILTER, START

from sandbox.envoy.history import KEPT
from sandbox.session.given import load_module
from sandbox.workspace import HOME, Project
from tools.wasm_writer import DROP, ONE, TRAP, Function, Import, call, custom, write_module

SHIPPED = Project(root=HOME).module("tinygo").read_bytes()


def traps(function: Function) -> bytes:
    others = [each for each in FILTER if each.name != function.name]
    return write_module([*others, Function(name=function.name, signature=function.signature, body=TRAP)])


def says_no(function: Function) -> bytes:
    others = [each for each in FILTER if each.name != function.name]
    return write_module([*others, Function(name=function.name, signature=function.signature)])


FILTER_YAML = Project(root=HOME).filter_yaml.read_text()
MODULES = {
    "random bytes": (CASES["random bytes"].module, "is no WebAssembly"),
    "cut off": (SHIPPED[:100_000], "is cut off"),
    "empty": (b"", "is empty"),
    "no ABI": (CASES["no ABI"].module, "says no proxy-wasm ABI"),
    "an unknown import": (CASES["an unknown host call"].module, "env.proxy_dance, which Envoy"),
    "a start that fails": (says_no(CONFIGURE), "Failed to configure base Wasm plugin"),
    "a VM that does not start": (says_no(START), "Failed to start base Wasm"),
    "a start that panics": (traps(CONFIGURE), "proxy_on_configure: "),
    "code that is none": (SHIPPED.replace(SHIPPED[60_000:60_040], b"\xff" * 40, 1), "Failed to load Wasm bytecode"),
}
CONFIGURATIONS = {
    "no YAML": (FILTER_YAML.replace("resources:", "resources: ["), "bad.yaml:7:3: did not find expected node content"),
    "a wrong name": (FILTER_YAML.replace("name: token_injector  # fixed", "name: mine"), "the resource is named 'mine'"),
    "a wrong type": (FILTER_YAML.replace("http.wasm.v3.Wasm", "http.wasm.v3.Wasn"), "Unable to parse"),
    "an unknown field": (FILTER_YAML.replace("root_id:", "rootid:"), "rootid"),
    "no JSON": ("{", "is not valid JSON"),
    "a name that the filter does not know": ('{"marker": "x"}', "marker"),
}


def still_serves(stack: Sandbox, version: str) -> None:
    status = until(lambda: (now := stack.status())["filter_live"] is not None and now, what="an answer of Envoy")
    assert (status["versions"][-1]["version"], status["filter_live"]) == (version, True)
    answer = get(f"http://127.0.0.1:{stack.ports['ingress']}/")
    assert (answer[0], answer[1]["x-wasm-filter"]) == (200, "hello from wasm")


@pytest.fixture(scope="module")
def version(shared: Sandbox) -> str:
    return str(shared.status()["versions"][-1]["version"])


@pytest.mark.parametrize(("module", "reason"), MODULES.values(), ids=MODULES.keys())
def test_a_module_that_envoy_does_not_take(shared: Sandbox, version: str, tmp_path: Path, module: bytes, reason: str):
    file = tmp_path / "bad.wasm"
    file.write_bytes(module)
    done = shared.run("swap", str(file)).expect(6)
    assert reason in done.error
    assert not done.stdout
    still_serves(shared, version)


@pytest.mark.parametrize(("text", "reason"), CONFIGURATIONS.values(), ids=CONFIGURATIONS.keys())
def test_a_configuration_that_can_not_be(shared: Sandbox, version: str, tmp_path: Path, text: str, reason: str):
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    done = shared.run("swap", "--config", str(file))
    assert done.returncode in (2, 6), done
    assert reason in done.error
    still_serves(shared, version)


def a_folder(path: Path) -> None:
    path.mkdir()


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_large_file(path: Path) -> None:
    with path.open("wb") as file:
        file.write(SHIPPED[:8])
        file.truncate(100 << 20)


def nothing(path: Path) -> None:
    assert not path.exists()


def a_link_to_nothing(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere")


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (a_folder, "is a folder, not a file"),
        (a_pipe, "is a pipe, not a file"),
        (a_large_file, "has 104,857,600 bytes; at most 67,108,864 are loaded"),
        (nothing, "No such file"),
        (a_link_to_nothing, "No such file"),
    ],
)
@pytest.mark.parametrize("what", ["module", "config"])
def test_a_path_that_leads_to_no_file(shared: Sandbox, make: Callable[[Path], None], reason: str, what: str, tmp_path: Path):
    file = tmp_path / "it"
    make(file)
    if what == "module":
        assert reason in shared.run("swap", str(file)).expect(2).error
    else:
        shared.run("swap", "--config", str(file)).expect(2)


def test_a_file_that_nobody_may_read(tmp_path: Path):
    """Root may read everything, so that is given up where we are root."""
    file = tmp_path / "closed.wasm"
    shutil.copy(Project(root=HOME).module("tinygo"), file)
    file.chmod(0)
    program = f"""
import os, sys
from pathlib import Path
from sandbox.errors import ConfigError
from sandbox.session.check import read_module_file
os.chdir({str(tmp_path)!r})
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    read_module_file(Path("closed.wasm"))
except ConfigError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout == "cannot read closed.wasm: Permission denied\n"


def test_a_module_that_crashes_is_live_and_the_next_one_recovers(shared: Sandbox, tmp_path: Path):
    file = tmp_path / "crashes.wasm"
    crash = Function(name="proxy_on_request_headers", signature="i32 i32 i32 -> i32", body=TRAP)
    file.write_bytes(write_module([*FILTER[:-1], crash]))
    done = shared.run("swap", str(file)).expect(7)
    assert "it is live, but a request through it got HTTP 503" in done.stderr
    back = shared.json("rollback")
    assert back["probed"]["first_status"] == 200
    assert get(f"http://127.0.0.1:{shared.ports['ingress']}/")[1]["x-wasm-filter"] == "hello from wasm"


def test_the_parked_filter_is_silent(running: Sandbox, tmp_path: Path):
    """One that logs at its start and on each tick is heard only as long as it is live."""
    log = Import(module="env", name="proxy_log", signature="i32 i32 i32 -> i32")
    tick = Import(module="env", name="proxy_set_tick_period_milliseconds", signature="i32 -> i32")
    configure = Function(name=CONFIGURE.name, signature=CONFIGURE.signature, body=call(1, 20) + DROP + call(0, 2, 0, 5))
    ticks = Function(name="proxy_on_tick", signature="i32 -> void", body=call(0, 2, 0, 7) + DROP)
    others = [each for each in FILTER if each.name != CONFIGURE.name]
    configure = replace(configure, body=(configure.body or b"") + DROP + ONE)
    chatty, other = tmp_path / "chatty.wasm", tmp_path / "other.wasm"
    chatty.write_bytes(write_module([*others, configure, ticks], [log, tick]))
    other.write_bytes(SHIPPED + custom("variant", b"1"))

    def ticked() -> int:
        return (running.state / "logs" / "stack.log").read_text().count("u0000")

    running.run("swap", str(chatty)).expect(0)
    until(lambda: ticked() > 100)
    running.run("swap", str(other)).expect(0)
    assert [version["parked"] for version in running.status()["versions"]] == [True, True, True]
    heard = ticked()
    running.run("curl", "-s", "/").expect(0)
    assert ticked() == heard
    assert "parked" not in running.run("logs", "-n", "0").stdout


def test_fifty_swaps_leave_memory_and_files_as_they_were(running: Sandbox, tmp_path: Path):
    file = tmp_path / "one.wasm"
    envoy = psutil.Process(running.pids()["envoy"])
    resident: dict[int, int] = {}
    with running.live_filter() as live:
        for number in range(1, 51):
            file.write_bytes(SHIPPED + custom("variant", str(number).encode()))
            assert not live.change(load_module(file), None).refused
            resident[number] = envoy.memory_info().rss
    modules = list((running.run_folder / "xds" / "modules").iterdir())
    assert len(modules) <= KEPT + 1
    assert len(running.status()["versions"]) == KEPT
    assert all(path.stat().st_mode & 0o777 == 0o400 for path in modules)
    assert resident[50] < resident[5] * 1.15, resident


def test_envoy_dies_over_a_module(running: Sandbox, tmp_path: Path):
    """The filter that was live is what the next Envoy starts with."""
    before = running.status()["versions"][-1]["version"]
    envoy = psutil.Process(running.pids()["envoy"])
    _, supervisor = running.supervision()
    swapping = running.start("swap", str(Project(root=HOME).module("go")))
    given = running.run_folder / "xds" / "filter.yaml"
    until(lambda: before not in given.read_text())
    supervisor.suspend()  # it would start another one, which may take the module
    envoy.kill()
    done = running.finish(swapping)
    supervisor.resume()
    assert done.returncode == 5, done
    assert "Envoy" in done.error
    until(lambda: running.status()["filter_live"])
    still_serves(running, before)


def test_ctrl_c_in_a_swap_ends_the_command_alone(running: Sandbox):
    before = running.status()["versions"][-1]["version"]
    envoy = psutil.Process(running.pids()["envoy"])
    swapping = running.start("swap", str(Project(root=HOME).module("go")))
    given = running.run_folder / "xds" / "filter.yaml"
    until(lambda: before not in given.read_text())
    envoy.suspend()  # so that it can't be over before it is interrupted
    interrupt(swapping)
    done = running.finish(swapping)
    envoy.resume()
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "interrupted")
    assert "Envoy may have the filter already" in done.stderr
    until(lambda: (now := running.status())["filter_live"] and len(now["versions"]) == 2)


def test_what_an_earlier_filter_has_fetched_is_not_said_of_this_one(running: Sandbox, tmp_path: Path):
    config, least = tmp_path / "nowhere.json", tmp_path / "least.wasm"
    config.write_text('{"path": "/nowhere"}')
    running.run("swap", "--config", str(config)).expect(0)
    answer = until(lambda: (got := running.json("curl", "/"))["no_token_because"] and got)
    assert "It has one now" not in answer["no_token_because"]
    failed = "Fetching one failed (status "
    assert until(lambda: failed in running.json("curl", "/")["no_token_because"])
    least.write_bytes(write_module(FILTER))
    running.run("swap", str(least)).expect(0)
    assert running.json("curl", "/")["no_token_because"] is None
