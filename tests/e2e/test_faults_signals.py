"""Ctrl-C, SIGTERM, SIGHUP and readers that go away. The numbers are those of the list of faults."""

import signal
import subprocess
import sys

import pexpect
import pytest
from stacks import Sandbox, get, interrupt, listens, read_lines, replace_service, takes_signals, until

DEAF = """
import signal, time

def serve(sock):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    print("deaf now", flush=True)
    while True:
        time.sleep(1)
"""
SLOW = "import time\n\ndef serve(sock):\n    while True:\n        time.sleep(1)\n"


def test_22_ctrl_c_in_a_terminal_while_it_starts(own: Sandbox, project):
    replace_service(project, "upstream", SLOW)
    terminal = own.spawn("up", *own.port_flags)
    terminal.expect("upstream")
    terminal.sendintr()
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert (terminal.exitstatus, terminal.signalstatus) == (130, None)
    assert "Traceback" not in terminal.before
    assert own.leftovers() == []


@pytest.mark.parametrize("pause_s", [0.0, 0.3, 0.6, 0.9])
def test_22_ctrl_c_at_any_moment_of_up(own: Sandbox, project, pause_s: float):
    replace_service(project, "upstream", SLOW)
    process = own.start("up", *own.port_flags)
    until(lambda: takes_signals(process.pid))
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(pause_s)
    interrupt(process)
    done = own.finish(process)
    assert done.returncode == 130, done
    assert "Traceback" not in done.stderr, done.stderr
    own.await_clean()


FOR_EVER = """
from sandbox.engines.local import start, supervisor
start.ABORT_TIMEOUT_S = supervisor.STOP_TIMEOUT_S = 600.0
"""


def test_22_second_ctrl_c_kills(own: Sandbox, project):
    """With a patience that none of the others would have: the second Ctrl-C alone can end it."""
    own.preload(FOR_EVER)
    replace_service(project, "upstream", DEAF)
    process = own.start("up", *own.port_flags)
    read_lines(process.stderr, lambda line: "upstream" in line and "started" in line)
    until(lambda: "deaf now" in own.run("logs", "upstream").stdout)
    until(lambda: listens(own.ports["ingress"]), what="Envoy")
    interrupt(process)
    until(lambda: not listens(own.ports["ingress"]), what="the graceful end of Envoy")
    assert process.poll() is None, "the deaf one is still being waited for"
    interrupt(process)
    assert own.finish(process).returncode == 130
    own.await_clean()


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


def test_22_ctrl_c_ends_a_viewer_and_not_the_stack(running: Sandbox):
    before = running.pids()
    viewer = running.start("logs", "-f")
    read_lines(viewer.stdout, lambda line: "envoy" in line)
    interrupt(viewer)
    done = running.finish(viewer)
    assert (done.returncode, done.stderr) == (130, "interrupted\n")
    assert running.pids() == before


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_23_signals_in_the_foreground(sandbox: Sandbox, number: signal.Signals):
    process = sandbox.start("up", "--foreground", *sandbox.port_flags)
    read_lines(process.stdout, lambda line: "ready in" in line)
    process.send_signal(number)
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
    before = sandbox.pids()
    shell.close(force=True)  # hangs up
    assert not shell.isalive()
    assert sandbox.pids() == before
    assert sandbox.json("curl", "/")["status"] == 200
    sandbox.down()


def test_23_nohup_keeps_the_foreground(sandbox: Sandbox):
    process = subprocess.Popen(
        ["nohup", *sandbox.command("up", "--foreground", *sandbox.port_flags)],
        env=sandbox.environment,
        cwd=sandbox.folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        process_group=0,
    )
    try:
        read_lines(process.stdout, lambda line: "ready in" in line)
        process.send_signal(signal.SIGHUP)
        get(f"http://127.0.0.1:{sandbox.ports['ingress']}/after-the-hangup")
        read_lines(process.stdout, lambda line: "/after-the-hangup" in line)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 130
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def test_24_a_reader_that_has_seen_enough(running: Sandbox):
    for number in range(200):  # more than a pipe holds
        get(f"http://127.0.0.1:{running.ports['ingress']}/{'x' * 500}/{number}")
    until(lambda: "/199" in running.run("logs", "-n", "5").stdout)
    for flags in ((), ("-o", "raw"), ("-o", "json"), ("--level", "info", "-i", "."), ("-f",), ("-f", "-n", "1000")):
        words = " ".join(running.command("logs", *flags))
        script = f"set -o pipefail; {words} | head -n 1; echo status ${{PIPESTATUS[0]}}"
        done = subprocess.run(
            ["bash", "-c", script], env=running.environment, cwd=running.folder, capture_output=True, timeout=60, check=False
        )
        assert done.stderr == b"", flags
        first, status = done.stdout.decode().splitlines()
        assert "starting" in first or "envoy" in first or "listening" in first or "GET /" in first or "lvl" in first
        assert status == "status 0"


def test_24_standard_output_closed_from_the_start(running: Sandbox):
    script = f"exec {' '.join(running.command('status'))} >&-"
    done = subprocess.run(
        ["bash", "-c", script], env=running.environment, cwd=running.folder, capture_output=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, b"")


def test_24_a_viewer_whose_reader_is_gone_ends(running: Sandbox):
    viewer = running.start("logs", "-f")
    read_lines(viewer.stdout, lambda line: "envoy" in line)
    viewer.stdout.close()
    viewer.stdout = None

    def ended() -> bool:
        get(f"http://127.0.0.1:{running.ports['ingress']}/")
        return viewer.poll() is not None

    until(ended)
    assert viewer.returncode == 0
    assert viewer.stderr.read() == b""


INTERRUPTED_IMPORT = """
import os, signal, sys
import sandbox.__main__

class Interrupting:
    def find_spec(self, name, *_):
        if name == "sandbox.cli":
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupting())
sandbox.__main__.main()
"""


def test_22_ctrl_c_while_the_program_is_imported_is_quiet():
    done = subprocess.run([sys.executable, "-c", INTERRUPTED_IMPORT], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (-signal.SIGINT, b"", b"")
