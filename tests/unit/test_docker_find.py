"""Which engine is found, where, and what is known of it. Sockets are real."""

import contextlib
import datetime as dt
import ipaddress
import json
import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path

import pytest
from doctors import program
from fake_engine import Engine, serving

from sandbox.engines.docker.discovery.find import check_compose, find_docker, find_engine, find_target, open_client
from sandbox.errors import PreconditionError
from sandbox.wait import Deadline

pytestmark = pytest.mark.usefixtures("clean", "no_sockets", "path")

PLACES = {
    "rootless Docker": "docker.sock",
    "Docker Desktop": ".docker/run/docker.sock",
    "OrbStack": ".orbstack/run/docker.sock",
    "Colima": ".colima/default/docker.sock",
    "Rancher Desktop": ".rd/docker.sock",
    **({} if sys.platform == "darwin" else {"Podman": "podman/podman.sock"}),
}


@pytest.fixture
def home(short, no_sockets, monkeypatch):
    """A home folder whose path leaves room for a socket's name."""
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(short))
    return short


def make_dead(place):
    place.parent.mkdir(parents=True, exist_ok=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(place))


def problem(timeout_s=3.0):
    with pytest.raises(PreconditionError) as caught:
        find_docker(timeout_s)
    return caught.value


@pytest.mark.parametrize("owner", PLACES)
def test_an_engine_at_a_usual_place_is_found_and_docker_is_told(home, owner):
    place = home / PLACES[owner]
    place.parent.mkdir(parents=True, exist_ok=True)
    with serving(place) as url:
        engine = find_engine(Deadline(3))
    assert engine.target.source == owner
    assert engine.target.environment == {"DOCKER_HOST": url}


def test_a_folder_of_colimas_own(home, monkeypatch):
    monkeypatch.setenv("COLIMA_HOME", str(home / "c"))
    monkeypatch.setenv("COLIMA_PROFILE", "mine")
    make_dead(home / "c/mine/docker.sock")
    assert find_target().url == f"unix://{home}/c/mine/docker.sock"
    monkeypatch.delenv("COLIMA_HOME")
    make_dead(home / "colima/mine/docker.sock")
    assert find_target().url == f"unix://{home}/colima/mine/docker.sock"


def test_one_that_answers_goes_before_one_that_was_left(home):
    make_dead(home / PLACES["OrbStack"])
    place = home / PLACES["Rancher Desktop"]
    place.parent.mkdir()
    with serving(place):
        assert find_target().source == "Rancher Desktop"


def test_one_that_was_left_is_named_with_the_command_that_starts_it(home):
    make_dead(home / PLACES["Colima"])
    error = problem()
    assert (error.message, error.hint) == ("Colima: nothing listens there", "colima start")


def test_the_default_socket_goes_before_the_usual_ones(home, monkeypatch):
    make_dead(home / PLACES["Colima"])
    monkeypatch.setattr("sandbox.engines.docker.discovery.target.DEFAULT_SOCKET", home / "s")
    make_dead(home / "s")
    target = find_target()
    assert (target.url, target.environment, target.source) == (f"unix://{home}/s", {}, "")


@pytest.mark.parametrize("name", ["DOCKER_HOST", "DOCKER_CONTEXT"])
def test_what_was_chosen_goes_before_the_usual_ones(home, monkeypatch, name):
    make_dead(home / PLACES["Colima"])
    monkeypatch.setenv(name, {"DOCKER_HOST": f"unix://{home}/chosen", "DOCKER_CONTEXT": "default"}[name])
    assert find_target().source == {"DOCKER_HOST": "DOCKER_HOST", "DOCKER_CONTEXT": ""}[name]


def test_the_context_is_read_as_docker_reads_it(tmp_path):
    """Made by the SDK, whose folders are those of `docker context create`."""
    (tmp_path / "docker-config").mkdir()
    (tmp_path / "docker-config/config.json").write_text('{"currentContext": "mine"}')  # the SDK's folders lie beside this file
    code = "from docker.context import ContextAPI\nContextAPI.create_context('mine', host='tcp://localhost:2375')\n"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=30, cwd=tmp_path)
    target = find_target()
    assert (target.url, target.source, target.environment) == ("tcp://localhost:2375", "the Docker context 'mine'", {})


@pytest.mark.parametrize("text", ["", "{", "[]", '{"currentContext": 7}', '{"currentContext": ""}'])
def test_a_docker_config_that_chooses_no_context(tmp_path, text):
    (tmp_path / "docker-config").mkdir()
    (tmp_path / "docker-config/config.json").write_text(text)
    assert find_target() is None


@pytest.mark.parametrize(
    ("given", "url"),
    [
        ("unix:///a/b", "unix:///a/b"),
        ("127.0.0.1:2400", "tcp://127.0.0.1:2400"),
        ("tcp://localhost", "tcp://localhost:2375"),
        ("tcp://:2375/", "tcp://127.0.0.1:2375"),
        ("tcp://[::1]:2375", "tcp://[::1]:2375"),
        ("http://127.1.2.3:1", "tcp://127.1.2.3:1"),
    ],
)
def test_addresses_of_this_machine(monkeypatch, given, url):
    monkeypatch.setenv("DOCKER_HOST", given)
    assert find_target().url == url


@pytest.mark.parametrize("given", ["ssh://a@b", "tcp://build.example.org:2376", "10.1.2.3:2375", "tcp://[2001:db8::1]:2375"])
def test_an_engine_on_another_machine_is_refused(monkeypatch, given):
    monkeypatch.setenv("DOCKER_HOST", given)
    error = problem()
    assert error.message == "DOCKER_HOST: an engine on another machine, and the stack mounts folders of this one"
    assert error.hint == "unset DOCKER_HOST"


@pytest.mark.parametrize(
    ("newest", "oldest", "spoken"),
    [("1.43", "1.12", "1.43"), ("1.50", "1.24", "1.45"), ("1.52", "1.44", "1.45"), ("1.60", "1.48", "1.48"), ("", "", "1.45")],
)
def test_a_version_that_both_sides_speak(short, monkeypatch, newest, oldest, spoken):
    answer = {"Version": "1", "ApiVersion": newest, "MinAPIVersion": oldest}
    with serving(short / "s", type("Other", (Engine,), {"answer": answer})) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert find_engine(Deadline(3)).client_api_version == spoken


def test_the_client_speaks_the_newest_version_that_the_sdk_knows():
    from docker.constants import DEFAULT_DOCKER_API_VERSION

    from sandbox.engines.docker.discovery.find import CLIENT_API_VERSION

    assert CLIENT_API_VERSION == DEFAULT_DOCKER_API_VERSION


def test_a_client_asks_nothing_before_it_is_used(short, monkeypatch):
    asked = []
    noting = type("Noting", (Engine,), {"respond": lambda self: (asked.append(self.path), Engine.respond(self))})
    with serving(short / "s", noting) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        engine = find_engine(Deadline(3))
        client = open_client(engine.target, 3, api_version=engine.client_api_version)
        assert asked == ["/version"]
        assert client.version()["Version"] == "28.2.2"
        client.close()
    assert asked == ["/version", "/v1.45/version"]


def test_nothing_of_the_sdk_is_imported_to_find_an_engine(short, monkeypatch):
    code = (
        "import sys\nfrom sandbox.engines.docker.discovery.find import find_engine\nfrom sandbox.wait import Deadline\n"
        "print(find_engine(Deadline(3)).version, *[name for name in ('docker', 'requests', 'ssl') if name in sys.modules])"
    )
    with serving(short / "s") as url:
        environment = {**os.environ, "DOCKER_HOST": url}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=30, check=True
        )
    assert done.stdout == "28.2.2\n"


class Chunked(Engine):
    protocol_version = "HTTP/1.1"

    def respond(self):
        body = json.dumps(self.answer).encode()
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in (body[:7], body[7:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


def test_an_answer_in_pieces(short, monkeypatch):
    with serving(short / "s", Chunked) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert find_engine(Deadline(3)).version == "28.2.2"


def saying(text):
    def handle(self):
        with contextlib.suppress(OSError):
            self.rfile.readline()
            self.wfile.write(text)

    return type("Saying", (Engine,), {"handle": handle})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n<html>",
        b"HTTP/1.1 200 OK\r\n\r\n[]",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}",
    ],
)
def test_something_else_that_answers(short, monkeypatch, text):
    with serving(short / "s", saying(text)) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        assert problem().message == "DOCKER_HOST: what answers there is no Docker engine"


def test_a_queue_that_is_full(short, monkeypatch):
    with socket.socket(socket.AF_UNIX) as busy, contextlib.ExitStack() as waiting:
        busy.bind(str(short / "s"))
        busy.listen(0)
        for _ in range(2):
            client = waiting.enter_context(socket.socket(socket.AF_UNIX))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.connect(str(short / "s"))
        monkeypatch.setenv("DOCKER_HOST", f"unix://{short}/s")
        assert problem(0.3).message == "DOCKER_HOST: the engine does not answer within 0.3 s"


def test_a_name_that_is_too_long_for_a_socket(monkeypatch):
    monkeypatch.setenv("DOCKER_HOST", "unix:///" + "x" * 200)
    assert problem().message == "DOCKER_HOST: no address that Docker understands"


def test_a_compose_that_hangs(path):
    program(path / "docker", "exec /bin/sleep 60")
    with pytest.raises(PreconditionError, match=r"^`docker compose version --short` does not end within 0\.3 s$"):
        check_compose(Deadline(0.3))


def make_certificates(folder):
    """A certificate for 127.0.0.1 that is its own authority, under all the names that Docker has."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "engine")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    folder.mkdir()
    for file in ("ca.pem", "cert.pem"):
        (folder / file).write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_an_engine_behind_tls(tmp_path, monkeypatch):
    folder = tmp_path / "certificates"
    make_certificates(folder)
    asks = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=folder / "ca.pem")
    asks.verify_mode = ssl.CERT_REQUIRED
    asks.load_cert_chain(folder / "cert.pem", folder / "key.pem")

    class Encrypted(Engine):
        def setup(self):
            self.request = asks.wrap_socket(self.request, server_side=True)
            super().setup()

        def finish(self):
            super().finish()
            self.request.close()

    with serving(None, Encrypted) as url:
        monkeypatch.setenv("DOCKER_HOST", url)
        monkeypatch.setenv("DOCKER_TLS_VERIFY", "1")
        monkeypatch.setenv("DOCKER_CERT_PATH", str(folder))
        engine = find_engine(Deadline(3))
        client = open_client(engine.target, 3, api_version=engine.client_api_version)
        assert client.version()["Version"] == engine.version == "28.2.2"
        client.close()


def test_a_usual_place_in_a_closed_folder_is_passed_over(monkeypatch):
    monkeypatch.setattr("sandbox.engines.docker.discovery.sockets.ROOT_PODMAN", Path("/root/\0"))
    assert find_target() is None
