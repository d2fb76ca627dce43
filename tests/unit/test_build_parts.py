"""Building filters, the parts: store, process, what is made of a compiler's words. Real ones: tests/e2e/test_cli_build.py."""

import os
import re
import shlex
import shutil
import threading
import time
from pathlib import Path

import psutil
import pytest
from go_builds import compilers
from stacks import REPOSITORY, until

from sandbox.errors import BuildError, ConfigError, PreconditionError
from sandbox.toolchain import store as store_module
from sandbox.toolchain.build import build
from sandbox.toolchain.compilers import GO_BUILD, TINYGO_BUILD, Call
from sandbox.toolchain.find import GO_HINT
from sandbox.toolchain.process import END_TIMEOUT_S, KEPT_BYTES, BuildCancelledError, run
from sandbox.toolchain.recipe import Recipe
from sandbox.toolchain.said import MAX_LINES, explain, point
from sandbox.toolchain.store import KEPT, Store


def sh(script, tmp_path, cancelled=None):
    return run(("/bin/sh", "-c", script), folder=tmp_path, environment=dict(os.environ), cancelled=cancelled or threading.Event())


@pytest.fixture
def store(tmp_path):
    store = Store(tmp_path / "state" / "builds")
    store.prepare()
    return store


def test_the_flags_are_those_of_the_shipped_modules():
    script = (REPOSITORY / "filter/build.sh").read_text()
    for name, flags in (("go", GO_BUILD), ("tinygo", TINYGO_BUILD)):
        [line] = re.findall(rf'run {name} (.*) -o "\$out" \.', script)
        assert tuple(shlex.split(line)) == flags


def test_the_store_keeps_the_newest(store):
    paths = []
    for number in range(KEPT + 3):
        paths.append(store.put(b"%d" % number))
        os.utime(paths[-1], (number, number))
    assert set(store.root.iterdir()) == set(paths[3:])
    assert store.put(b"3") == paths[3], "which is the newest now"
    new = store.put(b"new")
    assert set(store.root.iterdir()) == {new, paths[3], *paths[5:]}
    assert paths[3].read_bytes() == b"3"
    assert {path.stat().st_mode & 0o777 for path in store.root.iterdir()} == {0o600}


def test_a_store_that_was_removed_meanwhile_is_made_again(store):
    shutil.rmtree(store.root)
    assert store.put(b"new").read_bytes() == b"new"


def test_the_store_is_bounded_in_bytes_and_forgets_what_a_killed_process_left(store, monkeypatch):
    left = store.root / ".x.wasm.tmp"
    left.write_bytes(b"half")
    os.utime(left, (1, 1))
    old = store.put(b"x" * 30)
    os.utime(old, (2, 2))
    monkeypatch.setattr(store_module, "KEPT_BYTES", 100)
    kept = store.put(b"y" * 60)
    new = store.put(b"z" * 30)
    assert set(store.root.iterdir()) == {kept, new}
    assert store.put(b"w" * 1000).exists(), "the newest stays, whatever its size"


def test_an_output_is_kept_in_part(tmp_path):
    ran = sh(f"echo first; head -c {10 * KEPT_BYTES} /dev/zero | tr '\\0' 'x'; echo; echo last; exit 3", tmp_path)
    assert ran.returncode == 3
    assert (ran.lines[0], ran.lines[-1]) == ("first", "last")
    assert sum(map(len, ran.lines)) < 4 * KEPT_BYTES
    assert any(re.fullmatch(r"\[… [\d,]+ bytes …\]", line) for line in ran.lines)
    assert sh("printf 'a\\r\\n\\nb\\377'", tmp_path).lines == ("a", "", "b�")
    assert sh("true", tmp_path).lines == ()


def test_what_a_command_leaves_running_is_ended(tmp_path):
    [pid] = sh("sleep 1000 >/dev/null 2>&1 & echo $!", tmp_path).lines

    def has_ended() -> bool:
        try:
            return psutil.Process(int(pid)).status() == psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return True

    until(has_ended)


def test_who_leaves_the_group_with_the_pipe_is_not_waited_for(tmp_path):
    script = "import os, time; os.setsid(); print(os.getpid(), flush=True); open('up', 'w'); time.sleep(1000)"
    ran = sh(f"python3 -c {shlex.quote(script)} & until test -e up; do sleep 0.01; done", tmp_path)
    psutil.Process(int(ran.lines[0])).kill()
    assert ran.returncode == 0


@pytest.mark.parametrize("deaf", [False, True])
def test_a_cancelled_build_ends_at_once_and_leaves_nothing(store, tmp_path, monkeypatch, deaf):
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    monkeypatch.setattr("tempfile.tempdir", None)
    if not deaf:
        monkeypatch.setattr("sandbox.toolchain.process.END_TIMEOUT_S", 600.0)
    cancelled, errors = threading.Event(), []
    trap = "trap '' TERM;" if deaf else ""
    command = f"{trap} touch $TMPDIR/mine; sleep 1000 & touch begun; while :; do sleep 0.01; done"

    def work():
        try:
            recipe = Recipe(root=tmp_path, source=tmp_path, command=command, output=tmp_path / "x")
            build(recipe, toolchain="command", store=store, cancelled=cancelled)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    until((tmp_path / "begun").exists)
    until(lambda: len(compilers(temporary)) >= 2)
    begun = time.monotonic()
    cancelled.set()
    thread.join()
    assert isinstance(errors[0], BuildCancelledError)
    assert not deaf or time.monotonic() - begun >= END_TIMEOUT_S
    until(lambda: not compilers(temporary))
    assert list(temporary.iterdir()) == list(store.root.iterdir()) == []


def test_a_command_gets_an_interpreter_and_the_projects_folder(store, tmp_path, monkeypatch):
    monkeypatch.setenv("GREETING", "hello")
    monkeypatch.delenv("PYTHON", raising=False)
    (tmp_path / "src").mkdir()
    command = '"$PYTHON" -c "import typer, os; print(os.getcwd(), os.environ[\'GREETING\'])" > out; cat <&0'
    recipe = Recipe(root=tmp_path, source=tmp_path / "src", command=command, output=tmp_path / "out")
    built = build(recipe, toolchain="command", store=store, cancelled=threading.Event())
    assert built.path.read_text() == f"{tmp_path} hello\n"
    assert (built.toolchain, built.version, built.size_bytes) == ("command", "", len(str(tmp_path)) + 7)


@pytest.mark.parametrize(
    ("command", "error", "said"),
    [
        ("true", BuildError, "the build command wrote no out"),
        ("mkdir out", ConfigError, "out is a folder, not a file"),
        ("mkfifo out", ConfigError, "out is a pipe, not a file"),
        ("truncate -s 100M out", ConfigError, "out has 104,857,600 bytes"),
        ("no-such-compiler", BuildError, "the build command failed with exit code 127: no-such-compiler"),
        ("kill -9 $$", BuildError, "the build command was ended by signal 9: kill -9 $$"),
    ],
)
def test_a_command_that_brings_no_module(store, tmp_path, monkeypatch, command, error, said):
    (tmp_path / "root").mkdir()
    monkeypatch.chdir(tmp_path / "root")
    recipe = Recipe(root=tmp_path / "root", source=tmp_path, command=command, output=tmp_path / "root" / "out")
    with pytest.raises(error) as caught:
        build(recipe, toolchain="command", store=store, cancelled=threading.Event())
    assert said in caught.value.message
    assert list(store.root.iterdir()) == []


def test_no_folder_for_temporary_files(store, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    recipe = Recipe(root=tmp_path, source=tmp_path, command="true", output=tmp_path / "x")
    with pytest.raises(PreconditionError, match="no folder for temporary files") as caught:
        build(recipe, toolchain="command", store=store, cancelled=threading.Event())
    assert caught.value.hint.startswith("TMPDIR=")


@pytest.mark.parametrize(
    ("line", "seen"),
    [
        ("./main.go:3:4: undefined: x", "p/main.go:3:4: undefined: x"),
        ("src/lib.rs:3:4", "p/src/lib.rs:3:4"),
        ("  --> src/lib.rs:3:5", "  --> p/src/lib.rs:3:5"),
        (" in src/lib.rs(12,3)", " in p/src/lib.rs(12,3)"),
        ("In file included from main.go:3:", "In file included from p/main.go:3:"),
        ("src/../main.go:1: x", "p/main.go:1: x"),
        ("gone.go:3:4: x", "gone.go:3:4: x"),
        ("main.go is fine", "main.go is fine"),
        ("/usr/main.go:3", "/usr/main.go:3"),
        ("see http://x.org/main.go:80", "see http://x.org/main.go:80"),
    ],
)
def test_places_lead_there_from_where_the_user_is(tmp_path, line, seen):
    (tmp_path / "p" / "src").mkdir(parents=True)
    for name in ("main.go", "src/lib.rs"):
        (tmp_path / "p" / name).touch()
    assert point(line, tmp_path / "p", tmp_path) == seen
    assert point(line, tmp_path / "p", tmp_path / "p") == line
    elsewhere = point(line, tmp_path / "p", tmp_path / "p" / "src")
    assert elsewhere == (seen if seen == line else seen.replace("p/", f"{tmp_path}/p/").replace(f"{tmp_path}/p/src/", ""))


def explained(*lines, toolchain="go", returncode=1):
    call = Call(toolchain=toolchain, command=("sh", "-c", "make it\nso"), folder=Path("/p"), environment={}, version="1.26.6")
    return explain(call, returncode, lines, seen_from=Path("/p"))


def test_errors_are_counted():
    assert explained("# x", "a.go:1:2: no", "  more", "b/c.go:3: no").message == "the filter does not compile: 2 errors"
    assert explained("./a.go:1:2: no").message == "the filter does not compile: 1 error"
    assert explained(*["a.go:1:2: no"] * 10, "a.go:1:2: too many errors").message.endswith(": more than 10 errors")
    assert explained("function main is undeclared").message == "the filter does not compile"
    assert explained("go: downloading x/y v1", "a.go:1:2: no").details == "a.go:1:2: no"
    assert explained("killed", returncode=-9).message == "the compiler was ended by signal 9"


def test_a_go_that_tinygo_does_not_know():
    error = explained("requires go version 1.19 through 1.26, got go1.27", toolchain="tinygo")
    assert isinstance(error, PreconditionError)
    assert (error.message, error.hint) == ("TinyGo 1.26.6 requires go version 1.19 through 1.26, got go1.27", GO_HINT)


def test_of_many_lines_some_are_shown():
    lines = [f"line {number}" for number in range(100)]
    assert explained(*lines).details.splitlines() == [*lines[:MAX_LINES], "… 60 more lines"]
    error = explained(*lines, toolchain="command", returncode=2)
    assert error.details.splitlines() == ["… 60 lines before", *lines[-MAX_LINES:]]
    assert error.message == "the build command failed with exit code 2: make it"
    assert len(explained("x" * 5000).details) == 1000
