"""On Docker: ports that others hold, web pages, an upstream that misbehaves. The numbers are those of the list of faults."""

import http.client
import json
import os
import re
import socket
from collections.abc import Iterator

import pytest
from rooms import lack
from stacks import PORT_NAMES, Sandbox, copy_project, get, replace_service, replace_text, until
from test_faults_network import CHANGING, test_32_a_page_of_another_site_can_neither_read_nor_change

__all__ = ["test_32_a_page_of_another_site_can_neither_read_nor_change"]  # collected here it runs on Docker

ENGINE = "docker"

# 9 and 10: ports that others hold


def wish_for(sandbox: Sandbox, ports: dict[str, int]) -> None:
    """Have the sandbox prefer these ports, as if it had had them before."""
    sandbox.state.mkdir(mode=0o700)
    (sandbox.state / "ports.json").write_text(json.dumps(ports))


def test_09_two_projects_with_the_same_wishes(make_sandbox, shared: Sandbox, tmp_path):
    second = make_sandbox(project=copy_project(tmp_path / "other"))
    wish_for(second, shared.ports)
    done = second.run("up").expect(0)
    for name, number in shared.ports.items():
        told = re.search(rf"port {number} is taken by \S.*: the {name} is on (\d+)", done.stderr)
        assert told, done.stderr
        assert second.url(name) == f"http://127.0.0.1:{told[1]}"
    assert second.curl()["status"] == 200
    second.down()
    assert shared.curl()["status"] == 200


def test_10_a_busy_port_by_name(sandbox: Sandbox, shared: Sandbox):
    for name, number in sandbox.ports.items():
        with socket.create_server(("127.0.0.1", number)):
            done = sandbox.run("up", *sandbox.port_flags).expect(3)
        assert re.fullmatch(rf"error: port {number} for the {name} is taken by \S+ \(pid {os.getpid()}\)", done.error)
        assert f"hint: sandbox up --{name}-port {number + 1}" in done.stderr
        assert not (sandbox.state / "ports.json").exists()
        assert sandbox.leftovers() == []
    number = shared.ports["bypass"]
    assert f"port {number} for the bypass is taken by" in sandbox.run("up", "--bypass-port", str(number)).expect(3).error


TAKEN_LATE = """
import socket
from sandbox.engines.docker.engine import DockerEngine

release, taken = DockerEngine._release, []

def release_and_lose_one(engine):
    open_ones = [listener for listener in engine._listeners.values() if listener.fileno() != -1]
    port = engine._listeners["bypass"].getsockname()[1] if open_ones else 0
    release(engine)
    if port and not taken:
        taken.append(socket.create_server(("127.0.0.1", port)))

DockerEngine._release = release_and_lose_one
from sandbox.cli.main import main
main()
"""


def test_11_docker_finds_a_preferred_port_taken(sandbox: Sandbox):
    """The race made certain: the port is taken after it was chosen, and before Docker publishes it."""
    wish_for(sandbox, sandbox.ports)
    sandbox.program = ("-c", TAKEN_LATE)
    done = sandbox.run("up").expect(0)
    sandbox.program = ("-m", "sandbox")
    assert "another program took one of the ports meanwhile" in done.stderr
    assert sandbox.url("bypass") != f"http://127.0.0.1:{sandbox.ports['bypass']}"
    assert sandbox.json("curl", "--bypass", "/")["status"] == 200
    sandbox.down()


def test_11_docker_finds_a_port_by_name_taken(sandbox: Sandbox):
    sandbox.program = ("-c", TAKEN_LATE)
    done = sandbox.run("up", *sandbox.port_flags).expect(3)
    assert f"port {sandbox.ports['bypass']} for the bypass is taken by" in done.error
    assert sandbox.leftovers() == []


# 32: forged requests


FORGED = [
    ({"host": "evil.example"}, 421),
    ({"host": "localhost.evil.example"}, 421),
    ({"host": "169.254.169.254"}, 421),
    ({"origin": "http://evil.example"}, 403),
    ({"origin": "null"}, 403),
    ({"origin": "http://127.0.0.1.evil.example"}, 403),
]


@pytest.mark.parametrize(("headers", "status"), FORGED, ids=[next(iter(headers.values())) for headers, _ in FORGED])
def test_32_forged_host_and_origin(shared: Sandbox, headers: dict[str, str], status: int):
    console = f"http://127.0.0.1:{shared.ports['console']}"
    assert get(f"{console}/api/status")[0] == 200
    code, answered, body = get(f"{console}/api/status", headers)
    assert code == status
    assert "access-control-allow-origin" not in answered
    assert b"sha256" not in body


def test_32_envoy_cannot_be_changed_through_the_console(shared: Sandbox):
    console = f"http://127.0.0.1:{shared.ports['console']}"
    before = shared.pids()
    token = (shared.state / "keys" / "console.token").read_text()
    for path in CHANGING:
        assert get(console + path)[0] == 404
        assert get(console + path, method="POST", data=b"")[0] == 401
        assert get(console + path, {"authorization": "Bearer wrong"}, method="POST", data=b"")[0] == 401
        assert get(console + path, {"authorization": f"Bearer {token}"}, method="POST", data=b"")[0] in (404, 405)
    assert get(f"{console}/ready")[0] == 200
    assert shared.pids() == before
    assert shared.service("envoy")["restarts"] == 0


def inspect(sandbox: Sandbox) -> dict[str, dict]:
    with sandbox.docker.client() as client:
        return {service: client.api.inspect_container(number) for service, number in sandbox.docker.ids().items()}


def test_32_ports_are_published_on_the_loopback_interface_alone(shared: Sandbox):
    found = {
        (binding["HostIp"], int(binding["HostPort"]))
        for about in inspect(shared).values()
        for bindings in about["NetworkSettings"]["Ports"].values()
        for binding in bindings or ()
    }
    assert found == {("127.0.0.1", shared.ports[name]) for name in PORT_NAMES}


def test_32_a_services_own_address_refuses_forged_requests_too(shared: Sandbox):
    """Where Docker's networks are this machine's (Linux), a web page reaches what is not published."""
    networks = inspect(shared)["jwt-api"]["NetworkSettings"]["Networks"]
    [address] = [network["IPAddress"] for network in networks.values()]
    for headers, status in FORGED:
        connection = http.client.HTTPConnection(address, 8081, timeout=20)
        try:
            connection.request("GET", "/auth", headers={"host": "jwt-api", **headers})
        except OSError:
            lack("Docker's networks are not this machine's")
        answer = connection.getresponse()
        assert (answer.status, answer.getheader("authorization")) == (status, None)
        connection.close()


def test_32_envoys_admin_interface_has_no_port(shared: Sandbox):
    code = "for line in open('/proc/net/tcp').read().splitlines()[1:]: print(line.split()[1].split(':')[1], line.split()[3])"
    with shared.docker.client() as client:
        envoy, console = (shared.docker.ids()[name] for name in ("envoy", "console"))
        options = {"network_mode": f"container:{envoy}", "remove": True}
        lines = (
            client.containers.run(inspect(shared)["console"]["Image"], ["python", "-c", code], **options).decode().splitlines()
        )
        done = client.containers.get(console).exec_run(
            ["python", "-c", "import os; print(oct(os.stat('admin/envoy.sock').st_mode))"]
        )
    listening = {int(port, 16) for port, state in map(str.split, lines) if state == "0A"}
    assert listening - {port for port in listening if port > 30_000} == {10000, 10001}  # Docker's own name server has another
    assert done.output.strip() == b"0o140600"
    assert {path: get(f"http://127.0.0.1:{shared.ports['ingress']}{path}")[2][:1] for path in CHANGING} == dict.fromkeys(
        CHANGING, b"{"
    ), "the upstream's echo, and not Envoy's word"


# 36: an upstream that misbehaves

FAULTY = """
import socket, struct, threading, time
from services.upstream.server import serve as real

REFUSE = threading.Event()
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n"
ANSWERS = {
    b"/500": b"HTTP/1.1 500 Broken\\r\\ncontent-length: 6\\r\\nconnection: close\\r\\n\\r\\nbroken",
    b"/huge": HEAD + b"x-huge: " + b"x" * 200_000 + b"\\r\\n\\r\\n",
    b"/half": HEAD,
    b"/no-http": b"220 mail.example ESMTP\\r\\n\\r\\n",
}

def serve(sock):
    inner = socket.create_server(("127.0.0.1", 0))
    address = inner.getsockname()
    threading.Thread(target=real, args=(inner,), daemon=True).start()
    while True:
        client, _ = sock.accept()
        threading.Thread(target=answer, args=(client, address), daemon=True).start()
        if REFUSE.wait(0.1):
            sock.close()
            time.sleep(2)
            REFUSE.clear()
            sock = socket.create_server(("0.0.0.0", 8082))

def answer(client, address):
    with client:
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return
            head += chunk
        path = head.split()[1]
        if path == b"/reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif path == b"/refuse":
            REFUSE.set()
        elif path == b"/slow":
            time.sleep(4)
        elif path in ANSWERS:
            client.sendall(ANSWERS[path])
        else:
            with socket.create_connection(address) as server:
                server.sendall(head.replace(b"\\r\\n\\r\\n", b"\\r\\nconnection: close\\r\\n\\r\\n", 1))
                while chunk := server.recv(65536):
                    client.sendall(chunk)
"""


@pytest.fixture(scope="module")
def faulty(docker_engine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sandbox]:
    """A running stack whose upstream does what the path says, and whose Envoy waits for it three seconds at most."""
    project = copy_project(tmp_path_factory.mktemp("faulty") / "project")
    sandbox = Sandbox(tmp_path_factory.mktemp("faulty"), project=project, environment={"SANDBOX_ENGINE": "docker"})
    replace_service(project, "upstream", FAULTY)
    replace_text(project / "envoy" / "envoy.yaml", "route: {cluster: upstream}", "route: {cluster: upstream, timeout: 3s}")
    try:
        sandbox.up()
        yield sandbox
        sandbox.down()
        assert sandbox.leftovers() == []
    finally:
        sandbox.destroy()


def answer(sandbox: Sandbox, path: str) -> tuple[int, bytes]:
    """Status and body at the ingress; the filter's headers have to be there, whoever answers."""
    status, headers, body = get(f"http://127.0.0.1:{sandbox.ports['ingress']}{path}")
    assert headers["x-wasm-filter"] == "hello from wasm"
    assert headers["x-auth"].startswith("Bearer eyJ")
    assert headers["server"] == "envoy"
    return status, body


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/500", 500, b"broken"),
        ("/reset", 503, b"upstream connect error or disconnect/reset before headers"),
        ("/half", 502, b"upstream connect error or disconnect/reset before headers"),
        ("/no-http", 502, b"upstream connect error or disconnect/reset before headers"),
        ("/huge", 502, b"upstream connect error or disconnect/reset before headers"),
        ("/slow", 504, b"upstream request timeout"),
    ],
)
def test_36_upstream_answers_wrongly(faulty: Sandbox, path: str, status: int, said: bytes):
    code, body = answer(faulty, path)
    assert (code, body[: len(said)]) == (status, said)
    assert answer(faulty, "/")[0] == 200
    assert all(service["restarts"] == 0 for service in faulty.heard()["services"])


def test_36_upstream_stopped(faulty: Sandbox):
    """Nobody is there to refuse: its name and its address are gone."""
    before = faulty.docker.ids()
    with faulty.docker.client() as client:
        upstream = client.containers.get(before["upstream"])
        upstream.stop(timeout=1)
        status, body = answer(faulty, "/")
        assert status == 503
        assert body.startswith((b"no healthy upstream", b"upstream connect error")), body
        report = until(lambda: (now := faulty.status())["filter_live"] is not None and now, what="an answer of Envoy")
        assert (report["phase"], report["filter_live"]) == ("running", True)
        assert {item["name"]: item["state"] for item in report["services"]} == {
            **dict.fromkeys(("envoy", "jwt-api", "console"), "running"),
            "upstream": "exited",
        }
        assert faulty.run("up").expect(5).error == "error: a stack runs, but upstream has exited"
        upstream.start()
        until(lambda: answer(faulty, "/")[0] == 200, timeout_s=30, what="the recovery")
    assert faulty.docker.ids() == before


def test_36_upstream_refuses(faulty: Sandbox):
    """Its port is closed while the container lives."""
    answer(faulty, "/refuse")
    until(lambda: b"reset reason: remote connection failure" in answer(faulty, "/")[1], what="Envoy's own answer")
    until(lambda: answer(faulty, "/")[0] == 200, what="the recovery")
    assert all(service["restarts"] == 0 for service in faulty.heard()["services"])
