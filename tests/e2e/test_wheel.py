"""The built wheel, installed in an environment of its own and used in an empty folder, far from any checkout."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from installs import build_wheel, install

from sandbox.session.new_files import render_project
from sandbox.workspace import LANGUAGES

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def sandbox(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed program; what the wheel requires comes from this environment's own packages."""
    return install(wheel, tmp_path_factory.mktemp("venv")).with_name("sandbox")


def test_the_wheel_carries_the_project(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "sandbox/project/compose.yaml",
        "sandbox/project/envoy/envoy.yaml",
        "sandbox/project/envoy/xds/filter.yaml",
        "sandbox/project/filter/prebuilt/manifest.json",
        "sandbox/project/filter/prebuilt/token_injector.tinygo.wasm",
        "sandbox/project/filter/prebuilt/token_injector.go.wasm",
        "sandbox/project/requirements/image.txt",
        "sandbox/project/services/Dockerfile",
        "sandbox/project/services/healthy",
        "sandbox/project/services/jwt_api/__main__.py",
        "sandbox/project/services/serving/server.py",
        "sandbox/project/services/upstream/__main__.py",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "services/", "benchmarks/"))]


@pytest.mark.parametrize("language", LANGUAGES)
def test_new_has_all_its_files(sandbox: Path, tmp_path: Path, language: str) -> None:
    command = (sandbox, "new", "mine", "--lang", language)
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
    subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, check=True)
    project = tmp_path / "mine"
    made = {str(path.relative_to(project)): path.read_bytes() for path in project.rglob("*") if path.is_file()}
    assert made == render_project("mine", language)


@pytest.mark.parametrize("engine", ["local", "docker"])
def test_up_and_curl_in_an_empty_folder(sandbox: Path, tmp_path: Path, engine: str, request: pytest.FixtureRequest) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path / "home"),
        "SANDBOX_STATE_DIR": str(tmp_path / "state"),
        "SANDBOX_ENGINE": engine,
        **(request.getfixturevalue("docker_engine").environment if engine == "docker" else {}),
    }

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run([sandbox, *words], cwd=empty, env=environment, capture_output=True, text=True, check=False)

    where = subprocess.run(
        [sandbox.with_name("python"), "-c", "import sandbox; print(sandbox.__file__)"],
        cwd=empty,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    assert str(ROOT) not in where
    try:
        up = run("up")
        assert (up.returncode, "signature verified" in up.stdout) == (0, True), up.stderr
        answer = run("curl", "/")
        assert answer.returncode == 0, answer.stderr
        assert "x-wasm-filter: hello from wasm" in answer.stdout
        assert "signature verified" in answer.stdout
    finally:
        down = run("down", "--volumes")
    assert (down.returncode, list(empty.iterdir()), list((tmp_path / "state").iterdir())) == (0, [], []), down.stderr
