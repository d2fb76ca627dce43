"""On Docker: files that are wrong, full disks, floods of log lines. The numbers are those of the list of faults."""

import contextlib
import json
import re
import subprocess
from pathlib import Path

import pytest
from stacks import PATIENCE_S, Sandbox, get, replace_service, replace_text, until
from test_faults_files import BROKEN_YAML, NO_ACCOUNT, mounted, needs_mount

ENGINE = "docker"


@pytest.mark.parametrize(("old", "new", "said"), [BROKEN_YAML["unknown field"], BROKEN_YAML["syntax"]], ids=["field", "syntax"])
def test_12_envoy_yaml_does_not_validate(own: Sandbox, project: Path, old: str, new: str, said: str):
    path = project / "envoy" / "envoy.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    done = own.run("up", *own.port_flags).expect(2)
    assert str(path) in done.error
    assert said in done.error
    assert not (own.state / "logs").exists()
    assert own.leftovers() == []


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("pids_limit: 64", "pidz_limit: 64", ".pidz_limit"),
        ("services:\n", "services: [\n", "yaml"),
        ("networks: [inside]", "networks: [nowhere]", "nowhere"),
    ],
    ids=["field", "syntax", "network"],
)
def test_12_compose_yaml_is_wrong(own: Sandbox, project: Path, old: str, new: str, said: str):
    path = project / "compose.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    done = own.run("up", *own.port_flags).expect(2)
    assert done.error.startswith("error: compose.yaml: ")
    assert said in done.stderr
    assert own.leftovers() == []
    assert own.docker.ids() == {}


def test_12_files_are_wrong_by_now(own: Sandbox, project: Path):
    """A running stack is left alone, and ended without them."""
    own.up()
    before = own.docker.ids()
    (project / "compose.yaml").write_text("services: [\n")
    replace_text(project / "envoy" / "envoy.yaml", "connect_timeout: 2s", "connect_timeout: soon")
    own.run("up").expect(0)
    assert own.run("restart", "upstream").expect(2).error.startswith("error: compose.yaml: ")
    assert own.json("curl", "/")["status"] == 200
    assert own.docker.ids() == before
    own.down()
    assert "connect_timeout" in own.run("up").expect(2).error


# 26: places that cannot be written to


@needs_mount
def test_26_a_read_only_state_folder(sandbox: Sandbox):
    with mounted(sandbox.folder / "disk", "size=1m") as disk:
        sandbox.keep_state_in(disk)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for words in (("up", *sandbox.port_flags), ("up", "--foreground")):
            done = sandbox.run(*words).expect(3)
            assert done.error == f"error: cannot write to {sandbox.state}: Read-only file system"
            assert "hint: SANDBOX_STATE_DIR=" in done.stderr
        assert "nothing was running" in sandbox.run("down").expect(0).stderr
        assert "not running" in sandbox.run("status").expect(5).stdout


@needs_mount
@pytest.mark.parametrize("build", [True, False], ids=["build", "files"])
def test_26_a_full_disk_before_the_start(own: Sandbox, project: Path, build: bool):
    """Too full for what an image is built from, or for what the containers mount."""
    if build:
        (project / "services" / "upstream" / "new.py").write_text('"""Not in any image yet."""\n')
    with mounted(own.folder / "disk", "size=64k") as disk:
        own.keep_state_in(disk)
        done = own.run("up", *own.port_flags).expect(3)
        assert f"{own.state}/{'build' if build else 'mounts'}" in done.error
        assert done.error.endswith("No space left on device")
        assert "hint: " in done.stderr
        assert own.leftovers() == []
        assert "not running" in own.run("status").expect(5).stdout


@needs_mount
def test_26_the_disk_fills_up_while_it_runs(sandbox: Sandbox):
    with mounted(sandbox.folder / "disk", "size=8m") as disk:
        sandbox.keep_state_in(disk)
        sandbox.up()
        with (disk / "filler").open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        assert get(f"http://127.0.0.1:{sandbox.ports['ingress']}/")[0] == 200
        assert sandbox.json("status")["phase"] == "running"
        sandbox.run("up").expect(0)
        sandbox.down()
        assert sandbox.leftovers() == []


@needs_mount
def test_26_the_disk_is_read_only_while_it_runs(sandbox: Sandbox):
    with mounted(sandbox.folder / "disk", "size=8m") as disk:
        sandbox.keep_state_in(disk)
        sandbox.up()
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert sandbox.json("status")["phase"] == "running"
        done = sandbox.run("down")
        assert "Read-only file system" in done.stderr or done.returncode == 0
        assert sandbox.docker.leftovers() == []
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        sandbox.down()
        assert sandbox.leftovers() == []


def test_26_no_home_at_all(sandbox: Sandbox):
    """As in a container that runs under a number without an account: a folder for the state is all that is needed."""
    sandbox.environment.pop("HOME")
    sandbox.program = ("-c", NO_ACCOUNT)
    sandbox.up()
    assert sandbox.json("curl", "/")["status"] == 200
    sandbox.down()


def test_26_a_home_that_cannot_exist(sandbox: Sandbox):
    for name in ("SANDBOX_STATE_DIR", "XDG_STATE_HOME"):
        sandbox.environment.pop(name, None)
    sandbox.environment["HOME"] = "/dev/null/home"
    done = sandbox.run("up").expect(3)
    assert "error: cannot write to /dev/null/home/" in done.stderr
    assert "hint: SANDBOX_STATE_DIR=" in done.stderr


# 27: a flood

FLOOD = """
import os, subprocess, sys
from services.upstream.server import serve as real

WRITE = '''
import os
def put(data):
    while data:
        data = data[os.write(1, data):]
for start in range(0, 300_000, 1000):
    put(b"".join(b"flood %d %s\\\\n" % (n, b"x" * 60) for n in range(start, start + 1000)))
put(b"one line of a megabyte " + b"m" * 1_000_000 + b"\\\\n")
put(b"not UTF-8: \\\\xff\\\\xfe\\\\x80\\\\n")
put(b"escapes: \\\\x1b]0;title\\\\x07\\\\x1b[2J\\\\x1b[31m\\\\x9b31m end\\\\n")
put(b"flood over\\\\n")
'''

def serve(sock):
    subprocess.Popen([sys.executable, "-c", WRITE])
    real(sock)
"""


def test_27_a_flood_of_log_lines(own: Sandbox, project: Path):
    """Docker keeps the newest; what is shown and kept is bounded, and no control character gets to the terminal."""
    replace_service(project, "upstream", FLOOD)
    own.up()
    until(lambda: "flood over" in own.run("logs", "upstream", "-n", "20").expect(0).stdout, timeout_s=PATIENCE_S)
    shown = own.run("logs", "upstream", "-n", "20").expect(0).stdout
    assert "escapes: " in shown
    assert "not UTF-8: ���" in shown
    assert not [character for character in shown if (character < " " and character != "\n") or "\x7f" <= character < "\xa0"]
    lines = [json.loads(line)["text"] for line in own.run("logs", "upstream", "-o", "json").expect(0).stdout.splitlines()]
    numbers = [int(line.split()[1]) for line in lines if line.startswith("flood ") and line != "flood over"]
    assert numbers == list(range(numbers[0], 300_000)), "the newest, in order and without gaps"
    [long] = [line for line in lines if line.startswith("one line of a megabyte")]
    assert re.fullmatch(r"one line of a megabyte m{10000,} … \d+ bytes cut", long)
    own.down()
    kept = sum(path.stat().st_size for path in (own.state / "logs").iterdir())
    assert kept <= 17 << 20
    assert "flood over" in own.run("logs", "upstream", "-n", "5").expect(0).stdout
