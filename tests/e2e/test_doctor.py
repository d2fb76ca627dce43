"""`doctor` and `version` as processes, on this machine as it is and with things broken."""

import contextlib
import getpass
import json
import os
import platform
import shutil
import socket
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from stacks import Sandbox

PLANTED = "hunter2-do-not-print"
NAMES = [
    *("sandbox", "settings", "system", "cpu", "python", "envoy", "filter", "go", "tinygo", "docker"),
    *("ingress port", "bypass port", "console port", "state folder", "proxy", "stack"),
]


@pytest.fixture
def no_docker(make_sandbox) -> Sandbox:
    """A sandbox with a PATH that has neither compilers nor Docker, and no variable that names one."""
    sandbox = make_sandbox()
    sandbox.environment["PATH"] = "/nonexistent"
    for name in list(sandbox.environment):
        if name.startswith("DOCKER_") or name.upper().endswith("_PROXY"):
            del sandbox.environment[name]
    return sandbox


def doctor(sandbox: Sandbox, returncode: int = 0) -> dict[str, dict[str, str]]:
    """The checks by name, as JSON has them."""
    report = sandbox.json("doctor", "-o", "json", returncode=returncode)
    assert [check["name"] for check in report["checks"]] == NAMES
    states = [check["state"] for check in report["checks"]]
    assert report["state"] == ("failed" if "failed" in states else "warning" if "warning" in states else "ok")
    return {check["name"]: check for check in report["checks"]}


@contextlib.contextmanager
def busy() -> Iterator[int]:
    """A port that this very process holds."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def test_text_has_a_line_for_each_check_and_json_says_the_same(no_docker):
    checks = doctor(no_docker)
    text = no_docker.run("doctor").expect(0)
    assert text.stderr == ""
    lines = [line for line in text.stdout.splitlines() if not line.startswith(" ")]
    marks = {"ok": "✔", "warning": "!", "failed": "✘"}
    assert [line.split(maxsplit=1)[0] for line in lines] == [marks[check["state"]] for check in checks.values()]
    for line, name in zip(lines, NAMES, strict=True):
        assert line[2:].startswith(name)
    fixes = [line.strip() for line in text.stdout.splitlines() if line.startswith(" ")]
    assert len(fixes) == sum(bool(check["fix"]) for check in checks.values())


def test_this_machine_has_what_the_local_engine_needs(no_docker):
    needed = ("system", "cpu", "python", "envoy", "filter", "stack", "state folder")
    checks = doctor(no_docker)
    assert [checks[name]["state"] for name in needed] == ["ok"] * len(needed)
    assert checks["envoy"]["detail"] == "1.40.0, runs"
    assert not no_docker.state.exists(), "looking must not make the state folder"


def test_without_compilers_and_docker_nothing_is_a_warning(no_docker):
    if Path("/var/run/docker.sock").exists():
        no_docker.environment["DOCKER_HOST"] = "unix:///nonexistent.sock"
    checks = doctor(no_docker)
    assert checks["tinygo"]["state"] == "ok"
    assert checks["tinygo"]["detail"].startswith("not installed")
    assert checks["tinygo"]["fix"]
    assert checks["go"]["state"] == "ok"  # the wheel's, where it is installed
    if "DOCKER_HOST" not in no_docker.environment:
        assert (checks["docker"]["state"], checks["docker"]["detail"].split(";")[0]) == ("ok", "not installed")


def test_nothing_secret_gets_out(no_docker):
    secrets = no_docker.state / "keys"
    secrets.mkdir(parents=True, mode=0o755)
    for path in (secrets / "console.token", secrets / "jwt-api.jwk.json", no_docker.state / "ports.json"):
        path.write_text(PLANTED)
    no_docker.environment |= {
        "HTTPS_PROXY": f"http://me:{PLANTED}@proxy.corp.example:3128",
        "http_proxy": f"http://me:{PLANTED}@proxy.corp.example:3128",
        "DOCKER_HOST": f"tcp://{PLANTED}.corp.invalid:2375",
        "SANDBOX_WORKERS": PLANTED,
        "SANDBOX_CONSOLE_TOKEN": PLANTED,
        "SANDBOX_PROJECT": f"/{PLANTED}/project",
        "GITHUB_TOKEN": PLANTED,
    }
    text = no_docker.run("doctor").expect(3)
    raw = no_docker.run("doctor", "-o", "json").expect(3)
    for said in (text.stdout, text.stderr, raw.stdout, raw.stderr):
        assert PLANTED not in said
        assert "corp" not in said
        assert str(Path.home()) not in said
        assert no_docker.environment["HOME"] not in said
        assert str(no_docker.state) not in said
        assert getpass.getuser() not in said.replace("$USER", "")
        assert "Traceback" not in said
    checks = doctor(no_docker, 3)
    assert "HTTPS_PROXY, http_proxy" in checks["proxy"]["detail"]
    assert checks["docker"]["detail"].startswith("DOCKER_HOST: an engine on another machine")
    assert "SANDBOX_WORKERS" in checks["settings"]["detail"] or "SANDBOX_CONSOLE_TOKEN" in checks["settings"]["detail"]


def test_the_host_name_is_not_in_it(no_docker):
    name = socket.gethostname()
    said = no_docker.run("doctor").expect(0).stdout
    kernel = platform.release()
    assert name not in said.replace(kernel, "").split()


def test_a_busy_port_is_told_with_its_holder(no_docker):
    with busy() as number:
        no_docker.environment["SANDBOX_CONSOLE_PORT"] = str(number)
        check = doctor(no_docker, 3)["console port"]
    assert check["state"] == "failed"
    assert f"{number} is taken by" in check["detail"]
    assert f"(pid {os.getpid()})" in check["detail"]
    assert check["fix"].startswith("sandbox up --console-port ")
    assert doctor(no_docker)["console port"]["detail"] == f"{number} is free"


def test_our_own_stack_holds_its_ports_and_runs(sandbox):
    sandbox.up()
    checks = doctor(sandbox)
    for name, number in sandbox.ports.items():
        assert checks[f"{name} port"]["state"] == "ok"
        assert checks[f"{name} port"]["detail"] == f"{number} is held by the running stack"
    assert checks["stack"]["detail"] == "running, 4 services"
    assert checks["state folder"]["detail"].startswith(f"$SANDBOX_STATE_DIR/{sandbox.state.name}: yours, mode 0700")
    sandbox.down()
    assert doctor(sandbox)["stack"]["detail"] == "not running"


def test_a_broken_module_is_found_and_ends_with_3(own, project):
    module = project / "filter" / "prebuilt" / "token_injector.tinygo.wasm"
    assert module.is_file()
    assert doctor(own)["filter"]["state"] == "ok"
    module.write_bytes(module.read_bytes()[:-1])
    check = doctor(own, 3)["filter"]
    assert (check["state"], check["detail"]) == ("failed", "token_injector.tinygo.wasm differs from manifest.json")
    assert check["fix"]


def test_settings_that_are_no_yaml_are_one_failed_check(own, project):
    (project / "sandbox.yaml").write_text("workers: [\n")
    checks = doctor(own, 3)
    assert [name for name, check in checks.items() if check["state"] == "failed"] == ["settings"]


def test_a_docker_engine_that_never_answers_costs_three_seconds(no_docker):
    with busy() as number:
        no_docker.environment["DOCKER_HOST"] = f"tcp://127.0.0.1:{number}"
        started = time.monotonic()
        check = doctor(no_docker)["docker"]
        elapsed = time.monotonic() - started
    assert check["state"] == "warning"
    assert check["detail"].startswith("DOCKER_HOST: the engine does not answer within 3 s")
    assert check["fix"] == "unset DOCKER_HOST"
    assert elapsed > 2.9


def test_a_dead_docker_socket_is_only_a_warning(no_docker):
    folder = Path(tempfile.mkdtemp(prefix="sbx"))
    try:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(folder / "s"))
        no_docker.environment["DOCKER_HOST"] = f"unix://{folder}/s"
        check = doctor(no_docker)["docker"]
    finally:
        shutil.rmtree(folder)
    assert check["state"] == "warning"
    assert check["detail"].startswith("DOCKER_HOST: nothing listens there")


def test_a_state_folder_that_is_a_file_ends_with_3(no_docker):
    no_docker.state.write_text("")
    check = doctor(no_docker, 3)["state folder"]
    assert check["state"] == "failed"
    assert check["fix"].startswith("export SANDBOX_STATE_DIR=")
    no_docker.state.unlink()


def test_a_reader_that_leaves_early_sees_no_traceback(no_docker):
    process = no_docker.start("doctor")
    assert process.stdout is not None
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr is not None
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=20) in {0, 3}
    assert b"Traceback" not in said


def test_version_tells_what_runs(no_docker):
    from sandbox import __version__

    said = no_docker.json("version", "-o", "json")
    assert said["sandbox"] == __version__
    assert said["envoy"] == "1.40.0"
    assert said["python"] == platform.python_version()
    manifest = json.loads((Path(__file__).parents[2] / "filter" / "prebuilt" / "manifest.json").read_text())
    assert said["filter"] == {item["compiler"]: item["sha256"] for item in manifest}
    text = no_docker.run("version").expect(0).stdout
    assert f"filter  {said['filter']['tinygo'][:12]} (tinygo), " in text


@pytest.mark.parametrize("verb", ["doctor", "version"])
def test_help_has_examples(no_docker, verb):
    assert f"sandbox {verb} -o json" in " ".join(no_docker.run(verb, "--help").expect(0).stdout.split())
