"""Processes that are killed, hang, crash or multiply. The numbers are those of the list of faults."""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

import psutil
import pytest
from stacks import REPOSITORY, Sandbox, command_of, get, gone, interrupt, read_lines, replace_service, until

NEVER_READY = """
import os, signal, time

def serve(sock):
    print("pid", os.getpid(), flush=True)
    while True:
        time.sleep(1)
"""

DEAF = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)

def serve(sock):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    while True:
        time.sleep(1)
"""


def kill(*processes: psutil.Process) -> None:
    for process in processes:
        process.kill()


def test_01_foreground_cli_killed(sandbox: Sandbox):
    process = sandbox.start("up", "--foreground", *sandbox.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    assert len(sandbox.processes()) >= 6
    process.kill()
    until(lambda: not sandbox.processes(), what="the end of every child")
    sandbox.finish(process)
    sandbox.await_clean()
    again = sandbox.up()
    assert "crashed" not in again.stderr
    sandbox.down()


def test_01_cli_killed_while_it_starts(own: Sandbox, project):
    replace_service(project, "upstream", NEVER_READY)
    process = own.start("up", *own.port_flags)
    read_lines(process.stderr, lambda line: "upstream" in line and "started" in line)
    process.kill()
    own.finish(process)
    own.await_clean()


def test_03_supervisor_killed(running: Sandbox):
    guard, supervisor = running.supervision()
    services = list(running.pids().values())
    before = time.time()
    kill(supervisor)
    until(lambda: all(gone(pid) for pid in (guard.pid, supervisor.pid, *services)), what="the end of all")
    report = running.json("status", returncode=5)
    assert report["phase"] == "crashed"
    assert before - 1 <= report["crashed_at"] <= time.time() + 1
    assert re.search(r"crashed at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d", running.run("status").expect(5).stdout)
    done = running.run("curl", "/").expect(5)
    assert done.error == "error: the stack has crashed"
    healed = running.run("up", *running.port_flags).expect(0)
    assert "cleaning up after a stack that crashed" in healed.stderr
    assert f"http://127.0.0.1:{running.ports['ingress']}" in healed.stdout
    kill(running.supervision()[1])
    running.run("down").expect(0)
    running.await_clean()


def test_03_guard_killed(running: Sandbox):
    guard, supervisor = running.supervision()
    kill(guard)
    until(lambda: gone(supervisor.pid), what="the supervisor's end")
    running.await_clean()
    assert running.json("status", returncode=5)["phase"] == "stopped"


def test_03_state_folder_removed(running: Sandbox):
    """Then no command could ever find the stack again, so it ends by itself."""
    guard, supervisor = running.supervision()
    processes = [guard.pid, supervisor.pid, *running.pids().values()]
    supervisor.suspend()  # it would remove its own part meanwhile
    shutil.rmtree(running.state)
    supervisor.resume()
    until(lambda: all(gone(pid) for pid in processes), what="the end of all processes")
    assert running.json("status", returncode=5)["phase"] == "stopped"


@pytest.mark.parametrize("verb", ["up", "down"])
def test_03_guard_and_supervisor_killed(running: Sandbox, verb: str):
    guard, supervisor = running.supervision()
    services = list(running.pids().values())
    guard.suspend()  # so that it cannot do its part in between
    kill(supervisor, guard)
    until(lambda: gone(guard.pid))
    assert not all(gone(pid) for pid in services), "the orphans that this test is about"
    assert running.json("status", returncode=5)["phase"] == "crashed"
    running.up() if verb == "up" else running.down()
    until(lambda: all(gone(pid) for pid in services), what="the end of the orphans")
    if verb == "up":
        assert running.json("curl", "/")["status"] == 200
        running.down()
    running.await_clean()


def test_03_supervisor_suspended_is_ended_by_down(running: Sandbox):
    _, supervisor = running.supervision()
    supervisor.suspend()
    running.run("down").expect(0)
    running.await_clean()


def test_03_foreground_reports_a_killed_supervisor(sandbox: Sandbox):
    process = sandbox.start("up", "--foreground", *sandbox.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    kill(sandbox.supervision()[1])
    done = sandbox.finish(process).expect(5)
    assert done.error == "error: the stack has crashed"
    sandbox.await_clean()


@pytest.fixture
def foreigner():
    """A process that has nothing to do with us."""
    process = subprocess.Popen(
        [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"], stdout=subprocess.PIPE
    )
    process.stdout.readline()
    yield process
    survived = process.poll() is None
    process.kill()
    process.wait()
    process.stdout.close()
    assert survived, "the foreign process was ended"


def test_04_05_state_of_another_boot_with_pids_of_others(running: Sandbox, foreigner):
    """What a reboot leaves: the run folder as it was, nobody alive, and its numbers given to others."""
    guard, supervisor = running.supervision()
    note = json.loads((running.run_folder / "instance.json").read_text())
    guard.suspend()
    kill(supervisor, guard)
    until(lambda: gone(guard.pid))
    left = running.processes()
    kill(*left)
    until(lambda: not running.processes())
    for service in note["services"]:
        service["pid"] = foreigner.pid
    (running.run_folder / "instance.json").write_text(json.dumps(note))
    assert running.json("status", returncode=5)["phase"] == "crashed"
    running.up()
    assert foreigner.poll() is None
    assert foreigner.pid not in running.pids().values()
    running.down()
    assert foreigner.poll() is None


def test_05_pids_of_others_in_the_note_of_a_running_stack(running: Sandbox, foreigner):
    path = running.run_folder / "instance.json"
    note = json.loads(path.read_text())
    before = running.pids()
    for service in note["services"]:
        service["pid"] = foreigner.pid
    path.write_text(json.dumps(note))
    assert running.pids() == before
    running.run("up").expect(0)
    running.run("restart", "upstream").expect(0)
    running.down()
    assert foreigner.poll() is None


def test_07_two_up_at_once(sandbox: Sandbox):
    both = [sandbox.start("up", *sandbox.port_flags) for _ in range(2)]
    done = [sandbox.finish(process).expect(0) for process in both]
    assert sorted("already running" in item.stdout for item in done) == [False, True]
    assert len([process for process in sandbox.processes() if "envoy" in process.name()]) == 1
    assert len(sandbox.processes()) == 6
    sandbox.down()


def test_08_down_during_up(own: Sandbox, project):
    replace_service(project, "upstream", NEVER_READY)
    starting = own.start("up", *own.port_flags)
    read_lines(starting.stderr, lambda line: "upstream" in line and "started" in line)
    own.run("down").expect(0)
    done = own.finish(starting).expect(5)
    assert done.error == "error: the stack was stopped while it started"
    own.await_clean()


def test_08_down_at_any_moment_of_up(sandbox: Sandbox):
    for pause_s in (0.3, 0.6, 0.9):
        starting = sandbox.start("up", *sandbox.port_flags)
        with contextlib.suppress(subprocess.TimeoutExpired):
            starting.wait(pause_s)
        sandbox.run("down").expect(0)
        assert sandbox.finish(starting).returncode in (0, 5)
        if sandbox.status()["phase"] == "running":  # `down` came before there was anything to end
            sandbox.down()
        sandbox.await_clean()


LOUD = """
def serve(sock):
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
    assert "line 49" in own.run("logs", "upstream").expect(0).stdout
    own.await_clean()


def test_13_service_that_cannot_be_imported(own: Sandbox, project):
    (project / "services" / "jwt_api" / "__main__.py").write_text("import no_such_module\n")
    done = own.run("up", *own.port_flags).expect(5)
    assert done.error == "error: jwt-api ended while starting, with code 1"
    assert "ModuleNotFoundError: No module named 'no_such_module'" in done.stderr
    own.await_clean()


def test_13_keep_leaves_it_for_inspection(own: Sandbox, project):
    replace_service(project, "upstream", LOUD)
    own.run("up", "--keep", *own.port_flags).expect(5)
    states = {item["name"]: item["state"] for item in own.status()["services"]}
    assert states == {"envoy": "running", "jwt-api": "running", "console": "running", "upstream": "exited"}
    again = own.run("up").expect(5)
    assert again.error == "error: a stack runs, but upstream has exited"
    own.down()


def test_14_never_ready(own: Sandbox, project):
    replace_service(project, "upstream", NEVER_READY)
    done = own.run("up", "--timeout", "15", *own.port_flags).expect(5)
    assert re.match(r"error: the stack did not get ready in 15 s; last: ReadTimeout", done.error), done.error
    own.await_clean()


def test_14_an_exit_is_reported_long_before_the_deadline(own: Sandbox, project):
    replace_service(project, "jwt_api", "def serve(sock):\n    raise SystemExit(4)\n")
    done = own.run("up", "--timeout", "600", *own.port_flags, timeout_s=100).expect(5)
    assert "jwt-api ended while starting, with code 4" in done.error
    own.await_clean()


def test_15_envoy_dies_and_is_started_again(running: Sandbox):
    before = running.service("envoy")["pid"]
    os.kill(before, signal.SIGKILL)
    envoy = until(lambda: (item := running.service("envoy"))["state"] == "running" and item["pid"] != before and item)
    assert envoy["restarts"] == 1
    ingress = f"http://127.0.0.1:{running.ports['ingress']}/"

    def answers_with_the_filter() -> bool:
        with contextlib.suppress(OSError):
            return "x-auth" in get(ingress)[1]
        return False

    until(answers_with_the_filter)
    assert "exited with -9; restarting" in running.run("logs", "envoy").expect(0).stdout


def test_15_crash_loop(sandbox: Sandbox):
    sandbox.preload("from sandbox.engines.local import child\nchild.CRASH_LOOP_WINDOW_S = 3600.0\n")
    sandbox.up()
    for _ in range(5):
        pid = until(lambda: (item := sandbox.service("envoy"))["ready"] and item["pid"])
        os.kill(pid, signal.SIGKILL)
        until(lambda pid=pid: sandbox.service("envoy")["pid"] != pid)
    envoy = sandbox.service("envoy")
    assert (envoy["state"], envoy["pid"], envoy["ready"]) == ("crash-looping", None, False)
    assert "crash-looping" in sandbox.run("status").expect(0).stdout
    [kept] = (sandbox.state / "crashes").glob("envoy-*.log")
    assert "starting main dispatch loop" in kept.read_text()
    assert sandbox.run("up").expect(5).error == "error: a stack runs, but envoy is crash-looping"
    sandbox.run("restart", "envoy").expect(0)
    assert sandbox.json("curl", "/")["status"] == 200
    sandbox.down()


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
    deaf = [process for process in own.processes() if "SIG_IGN" in command_of(process)]
    assert len(deaf) == 2
    guard, supervisor = own.supervision()

    def zombies() -> list[int]:
        found = []
        for process in (*guard.children(), *supervisor.children()):
            with contextlib.suppress(psutil.NoSuchProcess):
                found += [process.pid] if process.status() == psutil.STATUS_ZOMBIE else []
        return found

    until(lambda: not zombies(), what="no zombies below guard and supervisor")
    own.down()
    until(lambda: all(gone(process.pid) for process in deaf), what="the end of the grandchildren")


def test_28_grandchildren_when_the_foreground_cli_is_killed(own: Sandbox, project):
    replace_service(project, "upstream", GRANDCHILDREN)
    process = own.start("up", "--foreground", *own.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    process.kill()
    own.finish(process)
    own.await_clean()


def test_28_grandchildren_of_a_start_that_fails(own: Sandbox, project):
    replace_service(project, "upstream", GRANDCHILDREN.replace("    real(sock)", "    raise SystemExit(3)"))
    own.run("up", *own.port_flags).expect(5)
    own.await_clean()


def test_28_a_service_deaf_to_sigterm_is_killed(own: Sandbox, project):
    replace_service(project, "upstream", DEAF)
    starting = own.start("up", *own.port_flags)
    read_lines(starting.stderr, lambda line: "upstream" in line and "started" in line)
    interrupt(starting)
    assert own.finish(starting).returncode == 130
    own.await_clean()


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_38_a_hundred_times_up_and_down(sandbox: Sandbox):
    def files() -> set[str]:
        return {str(path.relative_to(sandbox.state)) for path in sandbox.state.rglob("*")}

    def descriptors() -> int:
        return psutil.Process().num_fds()

    sandbox.up()
    sandbox.down()
    before, descriptors_before = files(), descriptors()
    children = len(psutil.Process().children(recursive=True))
    for _ in range(100):
        sandbox.up()
        sandbox.down()
    assert files() == before
    assert descriptors() == descriptors_before
    assert len(psutil.Process().children(recursive=True)) == children
    sandbox.await_clean()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_38_guard_and_supervisor_keep_no_descriptors(running: Sandbox):
    """The processes that stay must not grow, however often they are asked or told to start something again."""

    def descriptors() -> list[int]:
        return [process.num_fds() for process in running.supervision()]

    running.run("restart").expect(0)
    before = until(descriptors)
    for _ in range(10):
        running.run("restart", "upstream", "jwt-api").expect(0)
        running.run("status").expect(0)
    until(lambda: all(now <= was for now, was in zip(descriptors(), before, strict=True)), what=f"{before} descriptors")


def test_38_the_repository_is_not_written_to(sandbox: Sandbox):
    def files() -> set[str]:
        return {str(path) for name in ("envoy", "services") for path in (REPOSITORY / name).rglob("*") if path.suffix != ".pyc"}

    before = files()
    sandbox.up()
    sandbox.down()
    assert files() == before
