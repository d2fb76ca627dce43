"""What web pages and a misbehaving JWT API can do to a running stack. The numbers are those of the list of faults."""

import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import psutil
import pytest
from stacks import Sandbox, copy_project, get, replace_service, replace_text, until

CHANGING = (
    "/quitquitquit",
    "/logging?level=trace",
    "/healthcheck/fail",
    "/drain_listeners",
    "/reset_counters",
    "/runtime_modify?a=b",
)


def urls_of_every_port(sandbox: Sandbox) -> dict[str, str]:
    return {name: url for service in sandbox.status()["services"] for name, url in service["urls"].items()}


# 32: forged requests


@pytest.mark.parametrize("port", ["console", "jwt-api"])
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost.evil.example"}, 421),
        ({"host": "169.254.169.254"}, 421),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1.evil.example"}, 403),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_32_forged_host_and_origin(shared: Sandbox, port: str, headers: dict[str, str], status: int):
    url = urls_of_every_port(shared)[port]
    path = "/auth" if port == "jwt-api" else "/api/status"
    assert get(url + path)[0] == 200
    code, answered, body = get(url + path, headers)
    assert code == status
    assert "authorization" not in answered
    assert "access-control-allow-origin" not in answered
    assert b"sha256" not in body


def test_32_a_page_of_another_site_can_neither_read_nor_change(shared: Sandbox):
    console = shared.url("console")
    before = shared.pids()
    token = (shared.state / "keys" / "console.token").read_text()
    cross_site = {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "content-type": "text/plain"}
    assert get(f"{console}/api/status", {"sec-fetch-site": "cross-site"})[0] == 403
    for path in ("/api/status", "/", *CHANGING):
        for headers in (cross_site, {**cross_site, "authorization": f"Bearer {token}"}):
            assert get(console + path, headers, method="POST", data=b"x")[0] == 403
    assert shared.pids() == before


@pytest.mark.parametrize("path", CHANGING)
def test_32_envoy_cannot_be_changed_through_the_console(shared: Sandbox, path: str):
    console = shared.url("console")
    before = shared.pids()
    token = (shared.state / "keys" / "console.token").read_text()
    assert get(console + path)[0] == 404
    assert get(console + path, method="POST", data=b"")[0] == 401
    assert get(console + path, {"authorization": "Bearer wrong"}, method="POST", data=b"")[0] == 401
    assert get(console + path, {"authorization": f"Bearer {token}"}, method="POST", data=b"")[0] in (404, 405)
    assert get(f"{console}/ready")[0] == 200
    assert shared.pids() == before
    assert shared.service("envoy")["restarts"] == 0


def test_32_envoys_admin_interface_has_no_port(shared: Sandbox):
    envoy = psutil.Process(shared.pids()["envoy"])
    listening = {item.laddr.port for item in envoy.net_connections("tcp") if item.status == psutil.CONN_LISTEN}
    assert listening == {shared.ports["ingress"], shared.ports["bypass"]}


def test_32_every_port_is_bound_to_the_loopback_interface(shared: Sandbox):
    found = {
        item.laddr.ip
        for process in shared.processes()
        for item in process.net_connections("inet")
        if item.status == psutil.CONN_LISTEN
    }
    assert found == {"127.0.0.1"}


# 34: a JWT API that misbehaves

FAULTY = """
import pathlib, socket, struct, threading, time
from services.jwt_api.server import serve as real

MODE = pathlib.Path(@MODE@)
HEAD = b"HTTP/1.1 200 OK\\r\\ncontent-length: 0\\r\\nconnection: close\\r\\n"
ANSWERS = {
    "503": b"HTTP/1.1 503 Unavailable\\r\\ncontent-length: 4\\r\\nconnection: close\\r\\n\\r\\nlate",
    "no header": HEAD + b"\\r\\n",
    "empty": HEAD + b"authorization: \\r\\n\\r\\n",
    "64 KiB": HEAD + b"authorization: Bearer " + b"x" * 65536 + b"\\r\\n\\r\\n",
    "20 KiB": HEAD + b"authorization: Bearer " + b"x" * 20480 + b"\\r\\n\\r\\n",
    "tab": HEAD + b"authorization: Bearer a\\tb\\r\\n\\r\\n",
    "control characters": HEAD + b"authorization: Bearer a\\x01\\x1b[31mb\\r\\n\\r\\n",
    "no HTTP": b"220 mail.example ESMTP\\r\\n\\r\\n",
    "half an answer": HEAD,
}

def serve(sock):
    inner = socket.create_server(("127.0.0.1", 0))
    address = inner.getsockname()
    threading.Thread(target=real, args=(inner,), daemon=True).start()
    while True:
        client, _ = sock.accept()
        threading.Thread(target=answer, args=(client, address), daemon=True).start()

def answer(client, address):
    with client:
        head = b""
        while b"\\r\\n\\r\\n" not in head:
            chunk = client.recv(65536)
            if not chunk:
                return
            head += chunk
        mode = MODE.read_text() if b"GET /auth" in head else "good"
        if mode == "reset":
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        elif mode == "slow":
            time.sleep(30)
        elif mode == "good":
            with socket.create_connection(address) as server:
                server.sendall(head.replace(b"\\r\\n\\r\\n", b"\\r\\nconnection: close\\r\\n\\r\\n", 1))
                while chunk := server.recv(65536):
                    client.sendall(chunk)
        else:
            client.sendall(ANSWERS[mode])
"""


@pytest.fixture(scope="module")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Sandbox, Path]]:
    """A running stack whose JWT API does what a file says, and whose filter asks five times a second."""
    project = copy_project(tmp_path_factory.mktemp("faulty") / "project")
    sandbox = Sandbox(tmp_path_factory.mktemp("faulty"), project=project)
    mode = sandbox.folder / "mode"
    mode.write_text("good")
    replace_service(project, "jwt_api", FAULTY.replace("@MODE@", repr(str(mode))))
    filter_yaml = project / "envoy" / "xds" / "filter.yaml"
    replace_text(filter_yaml, '"tick": "15s"', '"tick": "200ms"')
    replace_text(filter_yaml, '"timeout": "5s"', '"timeout": "2s"')
    sandbox.up()
    yield sandbox, mode
    sandbox.run("down")
    sandbox.await_clean()


class Load:
    """Requests, one after the other, as long as the block lasts; every answer is kept."""

    def __init__(self, url: str) -> None:
        self._url, self._end = url, threading.Event()
        self.answers: list[tuple[int, str | None]] = []
        self._thread = threading.Thread(target=self._send)

    def _send(self) -> None:
        while not self._end.is_set():
            try:
                status, headers, _ = get(self._url)
                self.answers.append((status, headers.get("x-auth")))
            except OSError as error:
                self.answers.append((0, repr(error)))
            self._end.wait(0.02)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()


def fetches(console: str) -> dict[str, int]:
    """How often the filter fetched with which end, as Envoy's own statistics say."""
    text = get(f"{console}/stats?filter=wasmcustom.token_injector.fetch")[2].decode()
    return {
        name: int(count) for name, count in re.findall(r"^wasmcustom\.token_injector\.fetch\.(\w+): (\d+)$", text, re.MULTILINE)
    }


def grown(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in after if after[name] > before[name]}


def check_fault(sandbox: Sandbox, begin, end, reasons: set[str]) -> None:
    """The fault is counted by its reason, the last good token is kept, no request fails, and it recovers."""
    console, ingress = f"http://127.0.0.1:{sandbox.ports['console']}", f"http://127.0.0.1:{sandbox.ports['ingress']}/"
    until(lambda: get(ingress)[1].get("x-auth"))
    with Load(ingress) as load:
        begin()
        try:
            start = fetches(console)
            until(lambda: grown(start, fetches(console)) & reasons, what=f"one of {reasons}")
            before = fetches(console)
            last = get(ingress)[1]["x-auth"]
            until(lambda: sum(fetches(console).values()) >= sum(before.values()) + 2)
            assert grown(before, fetches(console)) <= reasons
            assert get(ingress)[1]["x-auth"] == last, "the last good token is kept"
        finally:
            end()
        until(lambda: grown(before, fetches(console)) & {"success"}, what="the recovery")
        fresh = until(lambda: (now := get(ingress)[1].get("x-auth")) != last and now)
        assert fresh.startswith("Bearer eyJ")
    assert {status for status, _ in load.answers} == {200}
    assert all(token and token.startswith("Bearer eyJ") for _, token in load.answers)


@pytest.mark.parametrize(
    ("fault", "reasons"),
    [
        ("503", {"status"}),
        ("no header", {"missing"}),
        ("empty", {"empty"}),
        ("20 KiB", {"too_long"}),
        ("64 KiB", {"too_long"}),
        ("tab", {"control_chars"}),
        ("control characters", {"reset"}),
        ("no HTTP", {"reset"}),
        ("half an answer", {"reset"}),
        ("reset", {"reset"}),
        ("slow", {"timeout"}),
    ],
)
def test_34_jwt_api_answers_wrongly(faulty: tuple[Sandbox, Path], fault: str, reasons: set[str]):
    sandbox, mode = faulty
    check_fault(sandbox, lambda: mode.write_text(fault), lambda: mode.write_text("good"), reasons)


def test_34_jwt_api_suspended(faulty: tuple[Sandbox, Path]):
    sandbox, _ = faulty
    pid = sandbox.pids()["jwt-api"]
    check_fault(sandbox, lambda: os.kill(pid, signal.SIGSTOP), lambda: os.kill(pid, signal.SIGCONT), {"timeout"})


def test_34_jwt_api_killed(faulty: tuple[Sandbox, Path]):
    """Its socket is the supervisor's too: calls wait until it is back, and are not even refused."""
    sandbox, _ = faulty
    ingress, console = f"http://127.0.0.1:{sandbox.ports['ingress']}/", f"http://127.0.0.1:{sandbox.ports['console']}"
    pid = sandbox.pids()["jwt-api"]
    last = get(ingress)[1]["x-auth"]
    with Load(ingress) as load:
        os.kill(pid, signal.SIGKILL)
        until(lambda: sandbox.service("jwt-api")["pid"] not in (None, pid))
        before = fetches(console)
        until(lambda: grown(before, fetches(console)) & {"success"})
        until(lambda: get(ingress)[1]["x-auth"] != last)
    assert {status for status, _ in load.answers} == {200}
    assert all(token and token.startswith("Bearer eyJ") for _, token in load.answers)
