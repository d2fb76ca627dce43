"""Each way in which Docker can be of no use. Sockets and programs are real."""

import contextlib
import hashlib
import json
import os
import socket
import threading

import pytest
from doctors import as_somebody_else, facts, program
from fake_engine import Engine, serving

from sandbox.engines.docker.discovery.find import find_docker
from sandbox.errors import PreconditionError
from sandbox.session.doctor.base import OK
from sandbox.session.doctor.tools import check_docker

pytestmark = pytest.mark.usefixtures("clean", "no_sockets")


def problem():
    with pytest.raises(PreconditionError) as caught:
        find_docker()
    return caught.value


def test_docker_that_is_not_installed_is_no_problem(path):
    assert find_docker() is None
    found = check_docker(facts())
    assert found.state == OK
    assert found.detail.startswith("not installed")


def test_an_engine_with_compose(path, short, monkeypatch):
    program(path / "docker", '[ "$*" = "compose version --short" ] && echo v2.36.0')
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        found = check_docker(facts())
    assert (found.state, found.detail) == (OK, "28.2.2 (API 1.50), compose 2.36.0")


def test_no_docker_program_beside_an_engine(path, short, monkeypatch):
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert "`docker` is not on the PATH" in problem().message


def test_no_compose_plugin(path, short, monkeypatch):
    program(path / "docker", "echo unknown command: docker compose >&2; exit 1")
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        error = problem()
    assert error.message == "Docker has no compose plugin"
    assert error.hint == "https://docs.docker.com/compose/install/linux/"


def test_compose_v1(path, short, monkeypatch):
    program(path / "docker", "exit 1")
    program(path / "docker-compose", "echo 1.29.2")
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message.startswith("docker-compose 1.29.2 is v1")


@pytest.mark.parametrize("version", ["1.29.2", "2.28.1", "v2.9.0"])
def test_a_compose_that_is_too_old(path, short, monkeypatch, version):
    program(path / "docker", f"echo {version}")
    with serving(short / "s") as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message == f"compose {version.removeprefix('v')} is too old; 2.29 or newer is needed"


def test_an_engine_that_answers_with_an_error(path, short, monkeypatch):
    paused = type("Paused", (Engine,), {"status": 503})
    with serving(short / "s", paused) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message == "DOCKER_HOST: the engine answers with HTTP 503"


@pytest.mark.parametrize("there", [True, False])
def test_a_dead_socket(short, monkeypatch, there):
    if there:
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(short / "s"))
    monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/s")
    error = problem()
    assert (error.message, error.hint) == ("DOCKER_HOST: nothing listens there", "unset DOCKER_HOST")


def test_the_daemon_down(path):
    """`docker` is installed, and there is no socket."""
    program(path / "docker", "exit 1")
    error = problem()
    assert error.message == "Docker: the daemon is not running"
    assert "docker" in error.hint


def test_a_socket_without_permission(short):
    with socket.socket(socket.AF_UNIX) as closed:
        closed.bind(str(short / "s"))
        closed.listen()
        (short / "s").chmod(0)
        short.chmod(0o755)
        code = """
import sys
from sandbox.engines.docker.discovery.find import find_docker
from sandbox.errors import PreconditionError
for before in (True, False):
    try:
        find_docker(0.3 if before else 5.0)  # first as we are: what is imported late may be closed to the other user
    except PreconditionError as error:
        if not before:
            print(error.message, error.hint, sep="|")
    drop()
"""
        os.environ["DOCKER_HOST"] = f"unix://{short}/s"
        try:
            said = as_somebody_else(code)
        finally:
            del os.environ["DOCKER_HOST"]
    assert said == "DOCKER_HOST: this user may not use the engine's socket|sudo usermod -aG docker $USER && newgrp docker\n"


def test_an_engine_that_never_answers(monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("DOCKER_HOST", f"tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(PreconditionError, match=r"does not answer within 0\.4 s"):
            find_docker(0.4)


def test_an_engine_that_dribbles_is_given_up_all_the_same(short, monkeypatch):
    over = threading.Event()

    class Dribbling(Engine):
        def respond(self):
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):
                while not over.wait(0.05):
                    self.wfile.write(b" ")
            self.close_connection = True

    with serving(short / "s", Dribbling) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        try:
            with pytest.raises(PreconditionError, match=r"does not answer within 0\.5 s"):
                find_docker(0.5)
        finally:
            over.set()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("tcp://engine.invalid:2375", "an engine on another machine"),
        ("tcp://192.0.2.1:2375", "an engine on another machine"),
        ("ssh://somebody@engine.invalid", "an engine on another machine"),
        ("gopher://engine.invalid", "no address that Docker understands"),
    ],
)
def test_addresses_that_lead_nowhere_are_not_told(monkeypatch, url, says):
    monkeypatch.setenv("DOCKER_HOST", url)
    error = problem()
    assert says in error.message
    assert "engine.invalid" not in error.message + error.hint


def test_a_context_that_does_not_exist(path, tmp_path, monkeypatch):
    program(path / "docker", "exit 1")
    (tmp_path / "docker-config").mkdir()
    (tmp_path / "docker-config" / "config.json").write_text('{"currentContext": "gone"}')
    error = problem()
    assert (error.message, error.hint) == ("the Docker context 'gone' does not exist", "docker context use default")
    monkeypatch.setenv("DOCKER_CONTEXT", "away")
    error = problem()
    assert (error.message, error.hint) == ("the Docker context 'away' does not exist", "unset DOCKER_CONTEXT")


def make_context(config, name, text):
    folder = config / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    folder.mkdir(parents=True)
    (folder / "meta.json").write_text(text)
    (config / "config.json").write_text(json.dumps({"currentContext": name}))


@pytest.mark.parametrize(("name", "hint"), [("colima", "docker context use default"), ("desktop-linux", "docker desktop start")])
def test_a_context_whose_engine_is_gone(path, short, tmp_path, name, hint):
    program(path / "docker", "exit 1")
    meta = {"Name": name, "Metadata": {}, "Endpoints": {"docker": {"Host": f"unix://{short}/s", "SkipTLSVerify": False}}}
    make_context(tmp_path / "docker-config", name, json.dumps(meta))
    error = problem()
    assert (error.message, error.hint) == (f"the Docker context {name!r}: nothing listens there", hint)


def test_a_context_that_cannot_be_read(path, tmp_path):
    program(path / "docker", "exit 1")
    make_context(tmp_path / "docker-config", "half", '{"Name": "ha')
    assert problem().message == "the Docker context 'half' cannot be read"


def test_certificates_that_are_not_there(monkeypatch, tmp_path):
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
    monkeypatch.setenv("DOCKER_CERT_PATH", str(tmp_path / "none"))
    error = problem()
    assert "certificates" in error.message
    assert error.hint == "unset DOCKER_TLS_VERIFY DOCKER_TLS DOCKER_CERT_PATH"
