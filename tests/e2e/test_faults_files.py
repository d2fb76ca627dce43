"""Files that are corrupt, wrong, private or cannot be written. The numbers are those of the list of faults."""

import contextlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from stacks import Sandbox, get, replace_text, until

SPOILT = {
    "empty": b"",
    "truncated": b'{"format": 1, "instan',
    "not JSON": b"\x00\xff\xfe not json",
    "no object": b"[1, 2]",
    "odd values": b'{"format": "x", "at": "never", "ingress": "http", "bypass": true, "console": -1, "bootstrap": 5}',
}


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT.keys())
def test_06_state_files_spoilt_while_it_runs(running: Sandbox, content: bytes):
    for path in (running.run_folder / "instance.json", running.run_folder / "plan.json", running.state / "ports.json"):
        assert path.exists()
        path.write_bytes(content)
    (running.state / "validated.json").write_bytes(content)
    before = running.heard()
    assert before["phase"] == "running"
    running.run("up").expect(0)
    assert running.pids() == {service["name"]: service["pid"] for service in before["services"]}
    running.down()
    running.run("up").expect(0)
    remembered = json.loads((running.state / "ports.json").read_text())
    assert {name: running.url(name) for name in running.ports} == {
        name: f"http://127.0.0.1:{remembered[name]}" for name in running.ports
    }
    if not content.startswith(b"{") or content.endswith(b"instan"):
        assert next(running.state.glob("ports.json.corrupt-*")).read_bytes() == content


@pytest.mark.parametrize("content", SPOILT.values(), ids=SPOILT.keys())
def test_06_state_files_spoilt_after_a_crash(sandbox: Sandbox, content: bytes):
    sandbox.run_folder.mkdir(parents=True, mode=0o700)
    for name in ("instance.json", "plan.json", "crashed.json"):
        (sandbox.run_folder / name).write_bytes(content)
    assert sandbox.json("status", returncode=5)["phase"] == "crashed"
    assert "crashed at 20" in sandbox.run("status").expect(5).stdout
    sandbox.run("down").expect(0)
    assert sandbox.leftovers() == []


def test_06_state_of_a_newer_sandbox(running: Sandbox):
    path = running.run_folder / "instance.json"
    until(lambda: json.loads(path.read_text())["phase"] == "running", what="the note of the adoption")
    note = {**json.loads(path.read_text()), "format": 999}
    path.write_text(json.dumps(note))
    services = running.processes()
    for words in (("up",), ("down",), ("status",), ("curl", "/"), ("restart",)):
        done = running.run(*words).expect(3)
        assert done.error == "error: a newer sandbox started this stack"
        assert "hint: git pull && make up" in done.stderr
    assert json.loads(path.read_text()) == note
    assert all(process.is_running() for process in services)
    path.write_text(json.dumps({**note, "format": 1}))
    assert running.json("status")["phase"] == "running"


def test_06_an_empty_key_file_is_put_aside(sandbox: Sandbox):
    keys = sandbox.state / "keys"
    keys.mkdir(parents=True, mode=0o700)
    (keys / "jwt-api.jwk.json").write_bytes(b"")
    sandbox.up()
    assert json.loads((keys / "jwt-api.jwk.json").read_text())["kty"] == "EC"
    assert [path.read_bytes() for path in keys.glob("jwt-api.jwk.json?*")] == [b""]
    assert "jwt-api.jwk.json" in sandbox.run("logs", "jwt-api").expect(0).stdout
    sandbox.down()


THIRD_LISTENER = """static_resources:
  listeners:
    - name: third
      address:
        socket_address: {address: 127.0.0.1, port_value: 99999}
"""
BROKEN_YAML = {
    "unknown field": ("stat_prefix: bypass", "stat_prefixx: bypass", "stat_prefixx"),
    "bad value": ("connect_timeout: 2s", "connect_timeout: soon", "connect_timeout"),
    "unknown cluster": ("route: {cluster: upstream}", "route: {cluster: nowhere}", "unknown cluster 'nowhere'"),
    "violated constraint": ("stat_prefix: ingress", 'stat_prefix: ""', "StatPrefix"),
    "bad port": ("static_resources:\n  listeners:", THIRD_LISTENER, "PortValue"),
    "syntax": ("  clusters:", "  clusters: [", "envoy.yaml:"),
    "missing listener": ("- name: bypass\n      address", "- name: sidepass\n      address", "no listener named 'bypass'"),
}


@pytest.mark.parametrize(("old", "new", "said"), BROKEN_YAML.values(), ids=BROKEN_YAML.keys())
def test_12_envoy_yaml_does_not_validate(own: Sandbox, project: Path, old: str, new: str, said: str):
    path = project / "envoy" / "envoy.yaml"
    path.write_text(path.read_text().replace(old, new, 1))
    done = own.run("up", *own.port_flags).expect(2)
    assert str(path) in done.error
    assert said in done.error
    assert "type.googleapis.com" not in done.stderr, "a dump of the configuration"
    assert len(done.stderr.splitlines()) <= 4
    assert not (own.state / "logs" / "stack.log").exists()
    assert own.leftovers() == []


def test_12_a_broken_envoy_yaml_leaves_a_running_stack_alone(own: Sandbox, project: Path):
    own.up()
    before = own.pids()
    replace_text(project / "envoy" / "envoy.yaml", "connect_timeout: 2s", "connect_timeout: soon")
    own.run("up").expect(0)
    assert own.pids() == before
    own.down()
    assert "connect_timeout" in own.run("up").expect(2).error


def test_12_the_file_is_valid_again(own: Sandbox, project: Path):
    path = project / "envoy" / "envoy.yaml"
    replace_text(path, "connect_timeout: 2s", "connect_timeout: soon")
    own.run("up", *own.port_flags).expect(2)
    replace_text(path, "connect_timeout: soon", "connect_timeout: 3s")
    own.up()
    own.down()


# 26: places that cannot be written to


@contextlib.contextmanager
def mounted(folder: Path, options: str):
    """A small file system of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, check=False)
    if done.returncode != 0:
        pytest.skip(f"only root can mount a small file system here: {done.stderr.decode().strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


needs_mount = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux: mounts a file system of its own to fill it up"
)


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
@pytest.mark.parametrize("size", ["16k", "64k", "200k"])
def test_26_a_full_disk_before_the_start(sandbox: Sandbox, size: str):
    with mounted(sandbox.folder / "disk", f"size={size}") as disk:
        sandbox.keep_state_in(disk)
        done = sandbox.run("up", *sandbox.port_flags).expect(3)
        assert "No space left on device" in done.error
        assert "hint: " in done.stderr
        assert sandbox.leftovers() == []
        assert "not running" in sandbox.run("status").expect(5).stdout


@needs_mount
def test_26_the_disk_fills_up_while_it_runs(sandbox: Sandbox):
    with mounted(sandbox.folder / "disk", "size=32m") as disk:
        sandbox.keep_state_in(disk)
        sandbox.up()
        before = sandbox.pids()
        filler = disk / "filler"
        with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while True:
                file.write(b"\0" * 4096)
        ingress = f"http://127.0.0.1:{sandbox.ports['ingress']}"
        for number in range(100):  # more log lines than still fit
            assert get(f"{ingress}/{number}/{'x' * 500}")[0] == 200
        os.kill(before["upstream"], 9)
        until(lambda: sandbox.service("upstream")["restarts"] == 1 and sandbox.service("upstream")["ready"])
        after = sandbox.pids()
        assert {name: pid for name, pid in after.items() if name != "upstream"} == {
            name: pid for name, pid in before.items() if name != "upstream"
        }
        filler.unlink()

        def says_how_many_were_lost() -> bool:
            get(f"{ingress}/after")
            return "lines before this one were lost: the disk was full" in sandbox.run("logs").expect(0).stdout

        until(says_how_many_were_lost)
        sandbox.down()
        sandbox.await_clean()


@pytest.fixture
def stranger(tmp_path: Path):
    """Another user of this machine, who has no account."""
    if os.geteuid() != 0:
        pytest.skip("only root can become another user")
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o005 != 0o005 and folder.stat().st_uid == os.geteuid():
            folder.chmod(0o755)
    return 54321


NO_ACCOUNT = """
import pwd

def nobody(number):
    raise KeyError(f"getpwuid(): uid not found: {number}")

pwd.getpwuid = nobody
from sandbox.cli.main import main
main()
"""


def test_26_no_home_at_all(sandbox: Sandbox):
    """As in a container that runs under a number without an account."""
    for name in ("HOME", "SANDBOX_STATE_DIR", "XDG_STATE_HOME"):
        sandbox.environment.pop(name, None)
    sandbox.program = ("-c", NO_ACCOUNT)
    for verb in ("up", "status", "down"):
        done = sandbox.run(verb).expect(3)
        assert done.error == "error: there is no home folder to keep state in"
        assert "hint: SANDBOX_STATE_DIR=" in done.stderr


def test_26_a_home_that_cannot_exist(sandbox: Sandbox):
    for name in ("SANDBOX_STATE_DIR", "XDG_STATE_HOME"):
        sandbox.environment.pop(name, None)
    sandbox.environment["HOME"] = "/dev/null/home"
    done = sandbox.run("up").expect(3)
    assert "error: cannot write to /dev/null/home/" in done.stderr
    assert "hint: SANDBOX_STATE_DIR=" in done.stderr


def test_26_the_state_folder_is_a_file(sandbox: Sandbox):
    sandbox.state.write_text("in the way")
    for words in (("up",), ("down",), ("restart",), ("status",), ("curl", "/"), ("doctor",)):
        done = sandbox.run(*words).expect(3)
        assert str(sandbox.state) in done.stderr or words == ("doctor",)
        assert "SANDBOX_STATE_DIR=" in done.stderr + done.stdout
    assert sandbox.run("logs").expect(5).error == "error: there are no logs: nothing has run yet"
    sandbox.run("version").expect(0)
    sandbox.state.unlink()


def test_26_the_folder_that_the_variable_names_stays_the_users(sandbox: Sandbox):
    theirs = sandbox.state.parent
    (theirs / "thesis.txt").write_text("mine")
    theirs.chmod(0o755)
    sandbox.up()
    sandbox.run("down", "--volumes").expect(0)
    assert [path.name for path in theirs.iterdir()] == ["thesis.txt"]
    assert theirs.stat().st_mode & 0o777 == 0o755


def test_26_the_working_folder_was_removed(sandbox: Sandbox):
    where = sandbox.folder / "removed"
    where.mkdir()
    script = f"cd {where}; rmdir {where}; exec {' '.join(sandbox.command('status'))}"
    done = subprocess.run(["sh", "-c", script], env=sandbox.environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 5, done
    assert "not running" in done.stdout


def test_33_modes_of_all_folders_and_files(running: Sandbox):
    os.kill(running.pids()["upstream"], 9)
    until(lambda: (item := running.service("upstream"))["restarts"] == 1 and item["ready"])
    wrong = []
    for path in (running.state, *running.state.rglob("*")):
        status = path.lstat()
        wanted = 0o700 if stat.S_ISDIR(status.st_mode) else 0o600
        if stat.S_IMODE(status.st_mode) != wanted or status.st_uid != os.geteuid():
            wrong.append(f"{stat.S_IMODE(status.st_mode):o} {path}")
    assert wrong == []
    kinds = {stat.S_IFMT(path.lstat().st_mode) for path in running.state.rglob("*")}
    assert kinds == {stat.S_IFDIR, stat.S_IFREG, stat.S_IFSOCK}


def test_33_modes_under_a_loose_umask_and_in_a_folder_made_before(sandbox: Sandbox):
    sandbox.state.mkdir(mode=0o755)
    sandbox.state.chmod(0o755)
    script = f"umask 0; exec {' '.join(sandbox.command('up', *sandbox.port_flags))}"
    subprocess.run(["sh", "-c", script], env=sandbox.environment, cwd=sandbox.folder, capture_output=True, timeout=60, check=True)
    _, supervisor = sandbox.supervision()
    supervisor.kill()
    until(lambda: sandbox.status()["phase"] == "crashed" and (sandbox.run_folder / "crashed.json").exists())
    wrong = [
        f"{stat.S_IMODE(path.lstat().st_mode):o} {path}"
        for path in (sandbox.state, *sandbox.state.rglob("*"))
        if stat.S_IMODE(path.lstat().st_mode) & 0o077
    ]
    assert wrong == []
    sandbox.down()


def test_33_another_user_reaches_nothing(running: Sandbox, stranger: int):
    script = (
        "import os, socket, sys\n"
        "for path in sys.argv[1:]:\n"
        "    try:\n"
        "        if path.endswith('.sock'): socket.socket(socket.AF_UNIX).connect(path)\n"
        "        else: os.listdir(path) if os.path.isdir(path) else open(path).read()\n"
        "    except PermissionError: continue\n"
        "    sys.exit('reached ' + path)\n"
    )
    link = Path("/tmp") / f"s{os.getpid()}"  # a path to a Unix socket must be short
    link.symlink_to(running.state)
    try:
        paths = [str(link / name) for name in ("", "keys/jwt-api.jwk.json", "keys/console.token", "run/control.sock")]
        paths += [str(link / "run/admin/envoy.sock"), str(link / "logs/stack.log")]
        program = shutil.which("python3", path="/usr/bin:/bin") or sys.executable
        done = subprocess.run([program, "-c", script, *paths], user=stranger, group=stranger, capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (0, b"")
    finally:
        link.unlink()
