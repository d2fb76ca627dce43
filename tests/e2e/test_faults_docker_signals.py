"""On Docker: Ctrl-C, SIGTERM, SIGHUP. The numbers are those of the list of faults."""

import signal
import time

import pexpect
import pytest
from stacks import Sandbox, get, interrupt, read_lines, replace_service, takes_signals, until

ENGINE = "docker"

SLOW = "import time\n\ndef serve(sock):\n    while True:\n        time.sleep(1)\n"
DEAF = """
import signal, time

def serve(sock):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf now", flush=True)
    while True:
        time.sleep(1)
"""


def test_22_ctrl_c_in_a_terminal_while_it_starts(own: Sandbox, project):
    replace_service(project, "upstream", SLOW)
    terminal = own.spawn("up", *own.port_flags)
    terminal.expect("upstream.*started")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, terminal.signalstatus) == (130, None)
    assert "Traceback" not in terminal.before
    assert own.leftovers() == []


@pytest.mark.parametrize("times", [1, 2])
@pytest.mark.parametrize("moment", ["nothing", "mounts", "containers"])
def test_22_ctrl_c_at_any_moment_of_up(sandbox: Sandbox, moment: str, times: int):
    process = sandbox.start("up", *sandbox.port_flags)
    until(lambda: takes_signals(process.pid))
    if moment == "mounts":
        until((sandbox.state / "mounts").exists)
    elif moment == "containers":
        until(sandbox.docker.states)
    for number in range(times):
        time.sleep(0.1 * number)
        interrupt(process)
    done = sandbox.finish(process)
    assert done.returncode in ((130,) if times == 1 else (130, -signal.SIGINT)), done  # the second as Python itself ends
    assert "sandbox" not in done.stderr or "Traceback" not in done.stderr, done.stderr
    assert sandbox.leftovers() == []


def test_22_ctrl_c_while_an_image_is_built(own: Sandbox, project):
    """Once it is: what it was built from is gone, compose and its builder too, and the next `up` works."""
    replace_service(project, "upstream", SLOW)
    terminal = own.spawn("up", *own.port_flags)
    until(lambda: any("build" in process.cmdline() for process in own.processes()), what="a build")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert "Traceback" not in terminal.before
    assert own.leftovers() == []
    assert own.docker.ids() == {}


FOR_EVER = """
from sandbox.cli.main import main
from sandbox.engines.docker.engine import DockerEngine
DockerEngine._stop.__kwdefaults__["patience_s"] = 600
main()
"""


def test_22_second_ctrl_c_kills(own: Sandbox, project):
    """With a patience that none of the others would have: the second Ctrl-C alone can end it."""
    own.program = ("-c", FOR_EVER)
    replace_service(project, "upstream", DEAF)
    process = own.start("up", *own.port_flags)
    read_lines(process.stderr, lambda line: "upstream" in line and "started" in line)
    until(lambda: "deaf now" in own.run("logs", "upstream").stdout)
    interrupt(process)
    until(lambda: "jwt-api" not in own.docker.states(), what="the graceful end of another")
    assert process.poll() is None, "the deaf one is still being waited for"
    interrupt(process)
    assert own.finish(process).returncode == 130
    assert own.leftovers() == []


def test_22_ctrl_c_in_the_foreground(sandbox: Sandbox):
    terminal = sandbox.spawn("up", "--foreground", *sandbox.port_flags)
    terminal.expect("ready in")
    get(f"http://127.0.0.1:{sandbox.ports['ingress']}/in-the-log")
    terminal.expect("/in-the-log")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 130
    assert sandbox.leftovers() == []


def test_22_ctrl_c_ends_a_viewer_and_not_the_stack(shared: Sandbox):
    before = shared.docker.ids()
    viewer = shared.start("logs", "-f")
    read_lines(viewer.stdout, lambda line: "envoy" in line)
    interrupt(viewer)
    done = shared.finish(viewer)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert shared.docker.ids() == before
    assert set(shared.docker.states().values()) == {"running"}


def test_22_ctrl_c_while_a_service_restarts(running: Sandbox):
    """A service that is half replaced is none: what was begun is ended, then the command."""
    restart = running.start("restart", "upstream")
    until(running.processes, what="compose")
    interrupt(restart)
    assert running.finish(restart).returncode == 130
    assert running.processes() == []
    assert running.status()["phase"] == "running"
    assert len(running.pids()) == 4
    running.run("up").expect(0)
    running.down()
    assert running.leftovers() == []


def test_23_sigterm_in_the_foreground(sandbox: Sandbox):
    process = sandbox.start("up", "--foreground", *sandbox.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    process.terminate()
    done = sandbox.finish(process)
    assert done.returncode == 130
    assert "Traceback" not in done.stderr
    assert sandbox.leftovers() == []


def test_23_a_detached_stack_outlives_its_terminal(sandbox: Sandbox):
    shell = pexpect.spawn(
        "/bin/sh", env={**sandbox.environment, "PS1": "$ "}, cwd=str(sandbox.folder), encoding="utf-8", timeout=60
    )
    shell.sendline(" ".join(sandbox.command("up", *sandbox.port_flags)) + "; echo ended with $?")
    shell.expect("ended with 0")
    before = sandbox.docker.ids()
    shell.close(force=True)  # hangs up
    assert not shell.isalive()
    assert sandbox.docker.ids() == before
    assert sandbox.json("curl", "/")["status"] == 200
    sandbox.down()
