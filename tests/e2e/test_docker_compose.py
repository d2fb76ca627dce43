"""compose.yaml without our command, from a clean checkout: it works, it is as hard as it says, and nothing is left of it."""

import io
import json
import os
import re
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker_engine import DockerEngine
from stacks import PORT_NAMES, REPOSITORY, free_ports, get, until

SERVICES = {"envoy", "jwt-api", "upstream", "console"}
USERS = {"envoy": 101, "console": 101, "jwt-api": 10001, "upstream": 10001}
SECRET = "sandbox-test-secret.invalid"


class Checkout:
    """A copy of what git knows, and `docker compose` in it."""

    def __init__(self, folder: Path, engine: DockerEngine) -> None:
        self.folder = folder
        self.name = f"by-hand-{os.getpid()}"
        self.tag = f"test-{os.getpid()}"
        self.ports = dict(zip(PORT_NAMES, free_ports(3), strict=True))
        names = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, check=True, capture_output=True).stdout
        for name in filter(None, os.fsdecode(names).split("\0")):
            if (REPOSITORY / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(REPOSITORY / name, folder / name)
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("SANDBOX_")},
            **engine.environment,
            **{f"SANDBOX_{name.upper()}_PORT": str(number) for name, number in self.ports.items()},
            "SANDBOX_SOURCES": self.tag,
        }

    def run(self, *words: str, **variables: str) -> str:
        done = subprocess.run(
            words,
            cwd=self.folder,
            env={**self.environment, **variables},
            capture_output=True,
            text=True,
            check=False,
            timeout=240,
        )
        assert done.returncode == 0, f"{words}:\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def compose(self, *words: str, **variables: str) -> str:
        return self.run("docker", "compose", "--project-name", self.name, *words, **variables)

    def inspect(self) -> dict[str, dict]:
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self.run("docker", "inspect", *ids))
        return {item["Config"]["Labels"]["com.docker.compose.service"]: item for item in found}

    def leftovers(self) -> str:
        by_label = ("--quiet", "--filter", f"label=com.docker.compose.project={self.name}")
        return "".join(self.run("docker", *words, *by_label) for words in (("ps", "--all"), ("network", "ls"), ("volume", "ls")))


@pytest.fixture(scope="module")
def checkout(docker_engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Checkout]:
    """Up for the whole module; at its end down by hand, which must leave nothing."""
    checkout = Checkout(tmp_path_factory.mktemp("checkout"), docker_engine)
    try:
        checkout.compose("up", "--build", "--wait")
        yield checkout
        checkout.compose("down", "--volumes")
        assert checkout.leftovers() == ""
    finally:
        checkout.compose("down", "--volumes")
        checkout.run("docker", "image", "rm", "--force", f"envoy-wasm-sandbox/services:{checkout.tag}")


def test_both_headers_are_there_as_soon_as_compose_says_so(checkout: Checkout):
    status, headers, _ = get(f"http://localhost:{checkout.ports['ingress']}/")
    assert status == 200
    assert headers["x-wasm-filter"] == "hello from wasm"
    assert headers["x-auth"].startswith("Bearer eyJ")
    _, plain, _ = get(f"http://localhost:{checkout.ports['bypass']}/")
    assert not {"x-wasm-filter", "x-auth"} & set(plain)


def test_a_filter_configuration_is_laid_out_anew_and_live_when_the_console_restarts(checkout: Checkout):
    path, ingress = checkout.folder / "envoy/xds/filter.yaml", f"http://localhost:{checkout.ports['ingress']}/"
    before = path.read_text()
    for greeting in ("hello from compose", "hello from wasm"):
        path.write_text(before.replace("hello from wasm", greeting))
        checkout.compose("restart", "console")
        checkout.compose("up", "--wait", "--no-recreate")
        until(lambda greeting=greeting: get(ingress)[1]["x-wasm-filter"] == greeting, what=greeting)
    modules = checkout.compose("exec", "console", "ls", "/sandbox/xds/modules").split()
    assert len(modules) == 1


def test_the_rendered_model_denies_what_the_file_promises_to_deny(checkout: Checkout):
    model = json.loads(checkout.compose("config", "--format", "json"))
    assert set(model["services"]) == SERVICES
    for name, service in model["services"].items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert "cap_add" not in service, name
        assert "privileged" not in service, name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["init"] is True, name
        assert int(service["pids_limit"]) > 0, name
        assert int(service["mem_limit"]) > 0, name
        assert service["user"] == f"{USERS[name]}:{USERS[name]}", name
        assert service["logging"]["driver"] == "local", name
        assert {"max-size", "max-file"} <= set(service["logging"]["options"]), name
        assert all(port["host_ip"] == "127.0.0.1" for port in service.get("ports", ())), name
        assert not any("docker.sock" in str(mount) for mount in service.get("volumes", ())), name
        assert {"start_interval", "interval", "timeout"} <= set(service["healthcheck"]), name
    assert model["networks"]["inside"]["internal"] is True
    assert set(model["services"]["jwt-api"]["networks"]) == set(model["services"]["upstream"]["networks"]) == {"inside"}
    admins = {name for name, item in model["services"].items() if any(m["source"] == "admin" for m in item.get("volumes", ()))}
    assert admins == {"envoy", "console"}
    [keys] = [name for name, item in model["services"].items() if any(m["source"] == "keys" for m in item.get("volumes", ()))]
    assert keys == "jwt-api"


def test_the_running_containers_are_denied_it(checkout: Checkout):
    containers = checkout.inspect()
    assert set(containers) == SERVICES
    for name, about in containers.items():
        host = about["HostConfig"]
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert not host["Privileged"], name
        assert any("no-new-privileges" in option for option in host["SecurityOpt"]), name
        assert host["Init"], name
        assert host["PidsLimit"] > 0, name
        assert host["Memory"] > 0, name
        assert host["LogConfig"]["Type"] == "local", name
        assert not any("docker.sock" in mount["Source"] for mount in about["Mounts"]), name
        assert {"envoy-wasm-sandbox.project", "envoy-wasm-sandbox.instance"} <= set(about["Config"]["Labels"]), name
        bound = [item for items in about["NetworkSettings"]["Ports"].values() for item in items or ()]
        assert all(item["HostIp"] == "127.0.0.1" for item in bound), name
        kernel = dict(
            line.split(":", 1) for line in Path(f"/proc/{about['State']['Pid']}/status").read_text().splitlines() if ":" in line
        )
        assert int(kernel["CapEff"], 16) == int(kernel["CapBnd"], 16) == 0, name
        assert kernel["NoNewPrivs"].strip() == "1", name
        assert set(kernel["Uid"].split()) == {str(USERS[name])}, name


def test_a_service_can_neither_write_its_image_nor_leave_its_network(checkout: Checkout):
    program = """
import socket
try:
    open("/app/x", "w")
except OSError as error:
    print(error.strerror)
try:
    socket.create_connection(("192.0.2.1", 80), timeout=2)
except OSError as error:
    print(error.strerror)
"""
    said = checkout.compose("exec", "jwt-api", "python", "-c", program).splitlines()
    assert said == ["Read-only file system", "Network is unreachable"]


def test_nothing_secret_is_in_environment_labels_or_logs(checkout: Checkout):
    token = get(f"http://localhost:{checkout.ports['ingress']}/")[1]["x-auth"].removeprefix("Bearer ")
    told = str(checkout.inspect()) + checkout.compose("logs")
    assert "token fetched" in told, "the logs were really read"
    assert token not in told
    assert '"d":' not in told, "a private key"


def layers(archive: bytes) -> Iterator[bytes]:
    """Every file of an image that `docker save` wrote, and of each of its layers."""
    with tarfile.open(fileobj=io.BytesIO(archive)) as outer:
        for member in outer:
            content = outer.extractfile(member).read() if member.isfile() else b""
            yield content
            try:
                with tarfile.open(fileobj=io.BytesIO(content)) as inner:
                    yield from (inner.extractfile(item).read() for item in inner if item.isfile())
            except tarfile.ReadError:
                continue


def named(image: str, checkout: Checkout) -> str:
    """The names of an image, as a list; empty where there is no such image any more."""
    words = ("docker", "image", "inspect", "--format", "{{.RepoTags}}", image)
    return subprocess.run(words, env=checkout.environment, capture_output=True, text=True, check=False).stdout.strip()


@pytest.mark.parametrize("buildkit", ["1", "0"], ids=["buildkit", "classic"])
def test_both_builders_build_it_and_leave_the_networks_secrets_out(checkout: Checkout, buildkit: str, request):
    """A CA bundle and index settings are there while it is built, and in nothing that could be pushed."""
    image = f"envoy-wasm-sandbox-test/{request.node.callspec.id}:{os.getpid()}"
    bundle = checkout.folder / "ca-bundle.pem"
    bundle.write_bytes(Path(os.environ.get("SSL_CERT_FILE", "/etc/ssl/certs/ca-certificates.crt")).read_bytes())
    with bundle.open("a") as file:
        file.write(f"\n# {SECRET}\n")
    made: list[str] = []
    try:
        words = ("build", "--file", "services/Dockerfile", "--tag", image, "--build-arg", f"PIP_TRUSTED_HOST={SECRET}", ".")
        made = re.findall(r"---> ([0-9a-f]{12})$", checkout.run("docker", *words, DOCKER_BUILDKIT=buildkit), re.MULTILINE)
        assert bool(made) == (buildkit == "0"), "that builder was used"
        saved = subprocess.run(["docker", "save", image], env=checkout.environment, check=True, capture_output=True).stdout
        found = list(layers(saved))
        assert any(b"def serve" in content for content in found), "the layers were really read"
        assert not any(SECRET.encode() in content for content in found)
        assert SECRET not in checkout.run("docker", "history", "--no-trunc", image)
    finally:
        bundle.unlink()
        checkout.run("docker", "image", "rm", "--force", image)
        for stage in reversed(made):  # what the classic builder keeps of the first stage; what has a name is not its
            if named(stage, checkout) == "[]":
                checkout.run("docker", "image", "rm", stage)
