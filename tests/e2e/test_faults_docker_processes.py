"""On Docker: commands and services that are killed, hang, crash or multiply. The numbers are those of the list of faults."""

import contextlib
import os
import re
import shutil
import socket
import struct
import uuid
from collections.abc import Iterator

import psutil
import pytest
from stacks import Sandbox, gone, read_lines, replace_service, until

ENGINE = "docker"

NEVER_READY = """
import time

def serve(sock):
    print("here", flush=True)
    while True:
        time.sleep(1)
"""

MOMENTS = ["files", "containers", "services", "envoy"]
"""What is there already, in the order in which a start makes it."""


def await_moment(sandbox: Sandbox, moment: str) -> None:
    """Wait until a start has come this far."""

    def reached() -> bool:
        if moment == "files":
            return (sandbox.state / "mounts" / "envoy.yaml").exists()
        states = sandbox.docker.states()
        if moment == "containers":
            return bool(states)
        return states.get("envoy") == "running" if moment == "envoy" else "running" in states.values()

    until(reached, timeout_s=60, what=f"a start with {moment}")


@pytest.fixture
def strangers(sandbox: Sandbox) -> Iterator[None]:
    """What looks like ours and is not: it must be there afterwards as it was."""
    ours, other = sandbox.docker.project, f"{sandbox.docker.project}-too"
    labels = {"com.docker.compose.project": other, "com.docker.compose.service": "envoy", "envoy-wasm-sandbox.instance": "x"}
    with sandbox.docker.client() as client, contextlib.ExitStack() as undo:
        network = client.networks.create(f"{ours}_edge-too", labels={"com.docker.compose.project": other})
        undo.callback(network.remove)
        volume = client.volumes.create(f"{ours}_xds-too")
        undo.callback(volume.remove)
        containers, command = [], ["sleep", "600"]
        for name, given in ((f"{ours}-envoy-2", {}), (f"{other}-envoy-1", labels)):
            options = {"name": name, "labels": given, "network": network.name, "volumes": {volume.name: {"bind": "/xds"}}}
            containers.append(client.containers.run("python:3.13-slim-trixie", command, detach=True, init=True, **options))
            undo.callback(containers[-1].remove, force=True)

        def pids() -> list[int]:
            return [client.api.inspect_container(container.id)["State"]["Pid"] for container in containers]

        before = pids()
        assert all(before)
        yield
        assert pids() == before
        network.reload()
        volume.reload()


@pytest.mark.usefixtures("strangers")
@pytest.mark.parametrize("moment", MOMENTS)
def test_02_cli_killed_then_status_and_down(sandbox: Sandbox, moment: str):
    """Compose, which is not killed with it, must not go on after `down`."""
    starting = sandbox.start("up", *sandbox.port_flags)
    await_moment(sandbox, moment)
    starting.kill()
    starting.wait()
    assert sandbox.status()["phase"] in {"crashed", "running"}
    sandbox.down()
    assert sandbox.leftovers() == []
    assert sandbox.json("status", returncode=5)["phase"] == "stopped"


def test_02_cli_killed_then_up(own: Sandbox, project):
    """Compose is still at it, and the code has changed meanwhile."""
    starting = own.start("up", *own.port_flags)
    await_moment(own, "containers")
    starting.kill()
    starting.wait()
    (project / "services" / "upstream" / "new.py").write_text('"""Not in any image yet."""\n')
    assert "cleaning up after a stack that crashed" in own.up().stderr
    assert own.curl()["status"] == 200
    assert len(own.docker.ids()) == 4
    own.down()


def test_02_state_folder_removed(running: Sandbox):
    """The containers are found without it."""
    shutil.rmtree(running.state)
    assert running.json("status")["phase"] == "running"
    assert running.run("restart", "upstream").expect(5).error.startswith("error: what the containers mount was removed")
    assert running.json("curl", "/")["status"] == 200
    assert "down, nothing left" in running.down().stderr
    assert running.leftovers() == []


def test_02_foreground_cli_killed(sandbox: Sandbox):
    """The containers are Docker's, not ours: they live on, and are found."""
    process = sandbox.start("up", "--foreground", *sandbox.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    before = sandbox.docker.ids()
    process.kill()
    process.wait()
    assert sandbox.json("status")["phase"] == "running"
    assert "already running" in sandbox.run("up").expect(0).stdout
    assert sandbox.docker.ids() == before
    sandbox.down()


def test_02_cli_killed_while_it_builds(own: Sandbox, project):
    replace_service(project, "upstream", NEVER_READY)
    starting = own.start("up", *own.port_flags)
    until(own.processes, what="a build")
    starting.kill()
    starting.wait()
    own.down()
    assert own.leftovers() == []


def test_04_the_containers_are_gone(running: Sandbox):
    """Somebody removed them without us; the state folder still says that there were some."""
    running.docker.remove_all()
    assert running.json("status", returncode=5)["phase"] == "crashed"
    assert "cleaning up after a stack that crashed" in running.up().stderr
    running.down()
    assert running.leftovers() == []


def test_15_envoy_killed_by_docker_itself(running: Sandbox):
    """Docker does not start again what it was told to kill. It is Envoy that has ended, not the stack that has crashed."""
    with running.docker.client() as client:
        client.api.kill(running.docker.ids()["envoy"])
    until(lambda: running.docker.states()["envoy"] == "exited", what="Envoy's end")
    assert running.json("status")["phase"] == "running"
    assert running.service("envoy")["state"] == "exited"
    running.run("restart", "envoy").expect(0)
    assert running.curl()["status"] == 200


def test_07_two_up_at_once(own: Sandbox, project):
    """Neither has the image yet: it is built once, and the second reports the running stack."""
    (project / "services" / "upstream" / "new.py").write_text('"""Not in any image yet."""\n')
    both = [own.start("up", *own.port_flags) for _ in range(2)]
    done = [own.finish(process).expect(0) for process in both]
    assert sorted("already running" in item.stdout for item in done) == [False, True]
    assert len(own.docker.ids()) == 4
    assert len(own.docker.images()) == 1
    own.down()


def test_08_down_during_up(own: Sandbox, project):
    replace_service(project, "upstream", NEVER_READY)
    starting = own.start("up", *own.port_flags)
    read_lines(starting.stderr, lambda line: "upstream" in line and "started" in line)
    own.down()
    done = own.finish(starting).expect(5)
    assert done.error == "error: the stack was stopped while it started"
    assert own.leftovers() == []


@pytest.mark.parametrize("moment", MOMENTS)
def test_08_down_at_any_moment_of_up(sandbox: Sandbox, moment: str):
    starting = sandbox.start("up", *sandbox.port_flags)
    await_moment(sandbox, moment)
    sandbox.down()
    done = sandbox.finish(starting)
    assert done.returncode == 0 or done.error == "error: the stack was stopped while it started", done
    assert sandbox.leftovers() == []


def test_08_down_during_the_build(own: Sandbox, project):
    dockerfile = project / "services" / "Dockerfile"
    dockerfile.write_text(f"{dockerfile.read_text()}RUN sleep 60 && : {uuid.uuid4()}\n")
    starting = own.start("up", *own.port_flags)
    until(own.processes, what="a build")
    own.down()
    done = own.finish(starting).expect(5)
    assert done.error == "error: the stack was stopped while it started"
    assert own.leftovers() == []


LOUD = """
import time

def serve(sock):
    time.sleep(3)  # Docker starts it again: it is not to say more while its last lines are read
    for number in range(50):
        print("line", number, flush=True)
    raise SystemExit(9)
"""


def test_13_service_fails_while_starting(own: Sandbox, project):
    replace_service(project, "upstream", LOUD)
    done = own.run("up", *own.port_flags).expect(5)
    assert done.error == "error: upstream ended while starting, with code 9"
    shown = [line.strip() for line in done.stderr.splitlines() if line.startswith("  ")]
    assert shown == [f"line {number}" for number in range(30, 50)]
    assert "hint: sandbox logs upstream" in done.stderr
    assert own.leftovers() == []
    assert "line 49" in own.run("logs", "upstream").expect(0).stdout


def test_13_keep_leaves_it_for_inspection(own: Sandbox, project):
    replace_service(project, "upstream", LOUD)
    own.run("up", "--keep", *own.port_flags).expect(5)
    assert set(own.docker.ids()) == {"envoy", "jwt-api", "console", "upstream"}
    assert own.processes() == []
    assert own.json("status", returncode=5)["phase"] == "crashed"
    assert "line 49" in own.run("logs", "upstream").expect(0).stdout
    own.down()


@pytest.mark.parametrize("flags", [(), ("--keep",)], ids=["", "keep"])
def test_14_never_ready(own: Sandbox, project, flags: tuple[str, ...]):
    replace_service(project, "upstream", NEVER_READY)
    done = own.run("up", "--timeout", "40", *flags, *own.port_flags).expect(5)
    last = r"Envoy was not started: it waits for (\S+, )*upstream to be healthy"
    assert re.fullmatch(rf"error: the stack did not get ready in 40 s; last: {last}", done.error), done.error
    assert own.processes() == [], "compose waits for health no more"
    if flags:
        assert own.docker.states()["upstream"] == "running"
        own.down()
    assert own.leftovers() == []


def test_14_an_exit_is_reported_long_before_the_deadline(own: Sandbox, project):
    replace_service(project, "jwt_api", "def serve(sock):\n    raise SystemExit(4)\n")
    done = own.run("up", "--timeout", "600", *own.port_flags, timeout_s=100).expect(5)
    assert "jwt-api ended while starting, with code 4" in done.error


GRANDCHILDREN = """
import os, signal, subprocess, sys
from services.upstream.server import serve as real

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(600)"

def serve(sock):
    for new_session in (False, True):
        child = subprocess.Popen([sys.executable, "-c", DEAF], start_new_session=new_session, stdout=subprocess.PIPE)
        child.stdout.readline()
    for _ in range(5):  # orphans that end at once, and that only their new parent can reap
        if os.fork() == 0:
            if os.fork() == 0:
                os._exit(0)
            os._exit(0)
        os.wait()
    real(sock)
"""


def test_28_grandchildren_that_ignore_sigterm(own: Sandbox, project):
    replace_service(project, "upstream", GRANDCHILDREN)
    own.up()
    with own.docker.client() as client:
        container = client.containers.get(own.docker.ids()["upstream"])
        rows = [dict(zip(container.top()["Titles"], row, strict=True)) for row in container.top()["Processes"]]
    commands = [row["CMD"] for row in rows]
    assert len([command for command in commands if "SIG_IGN" in command]) == 2
    assert not [command for command in commands if "defunct" in command], commands
    on_host = [int(row["PID"]) for row in rows if psutil.pid_exists(int(row["PID"]))]
    own.down()
    until(lambda: all(gone(pid) for pid in on_host), what="the end of the grandchildren")


def descriptors_of_engine() -> int:
    """Of the process that listens on the engine's socket; 0 where that is not to be seen."""
    path = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
    with contextlib.suppress(OSError, psutil.Error), socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        [pid, *_] = struct.unpack("iii", client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        return psutil.Process(pid).num_fds()
    return 0


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_38_up_and_down_in_a_row(own: Sandbox):
    """12 times, which takes a minute; a hundred with UP_AND_DOWN_ROUNDS=100."""

    def files() -> set[str]:
        return {str(path.relative_to(own.state)) for path in own.state.rglob("*")}

    own.up()
    own.down()
    files_before, descriptors_before, engine_before = files(), psutil.Process().num_fds(), descriptors_of_engine()
    children = len(psutil.Process().children(recursive=True))
    used: set[str] = set()
    for _ in range(int(os.environ.get("UP_AND_DOWN_ROUNDS", "12"))):
        own.up()
        used |= set(own.docker.ids().values()) | {f"br-{name[:12]}" for name in own.docker.networks()}
        own.down()
    assert files() == files_before
    assert psutil.Process().num_fds() == descriptors_before
    assert len(psutil.Process().children(recursive=True)) == children
    until(lambda: descriptors_of_engine() <= engine_before, what=f"the engine's {engine_before} descriptors")
    assert own.leftovers() == []

    def there() -> set[str]:
        words = {word for process in psutil.process_iter(["cmdline"]) for word in process.info["cmdline"] or ()}
        return used & (words | set(psutil.net_if_addrs()))

    until(lambda: not there(), what="the end of shims and bridges")
