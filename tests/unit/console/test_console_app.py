"""The console over ASGI before a stand-in for Envoy's admin socket: what an Envoy does that is hard to get from a real one."""

import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from sandbox.console import proxy, status
from sandbox.console.app import create_app
from sandbox.console.proxy import OFFERED, WITHHELD
from sandbox.console.settings import Settings
from sandbox.workspace import HOME

PLAIN = b"HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nset-cookie: a=b\r\nconnection: close\r\n\r\nhello\n"


class Admin:
    """Answers every request with the same bytes, then closes; with None it only listens."""

    def __init__(self, path: Path) -> None:
        self.answer: bytes | None = PLAIN
        self.targets: list[bytes] = []
        self._held: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            if self.answer is None:
                self._held.append(connection)
                continue
            with connection:
                self.targets.append(connection.recv(1 << 16).split(b" ")[1])
                connection.sendall(self.answer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        for connection in self._held:
            connection.close()


@pytest.fixture
def admin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Admin]:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    admin = Admin(Path("a.sock"))
    yield admin
    admin.close()


@pytest.fixture
def client(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TestClient]:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "token").write_text("s3cret\n")
    settings = Settings(
        admin_socket="a.sock",
        jwt_api_url="http://127.0.0.1:1",
        upstream_url="http://127.0.0.1:1",
        token_file=tmp_path / "token",
    )
    with TestClient(create_app(settings), base_url="http://localhost:9901") as client:
        yield client


def test_the_index_lists_what_there_is(client: TestClient) -> None:
    index = client.get("/").json()
    assert index["envoy"] == dict(OFFERED)
    assert set(index["console"]) | set(index["envoy"]) == set(client.get("/openapi.json").json()["paths"]) | {"/openapi.json"}


def test_importing_the_console_starts_nothing() -> None:
    code = "import sys, threading, sandbox.console.__main__; print('httpx2' in sys.modules, threading.active_count())"
    done = subprocess.run([sys.executable, "-P", "-c", code], cwd=HOME, capture_output=True, text=True, check=True)
    assert done.stdout == "False 1\n"


def test_no_page_is_both_offered_and_withheld() -> None:
    assert not OFFERED.keys() & WITHHELD.keys()


def test_a_page_goes_out_under_its_own_name(client: TestClient, admin: Admin) -> None:
    for path in OFFERED:
        answer = client.get(path)
        assert (answer.status_code, answer.text, answer.headers["content-type"]) == (200, "hello\n", "text/plain")
        assert "set-cookie" not in answer.headers
    assert admin.targets == [path.encode() for path in OFFERED]


@pytest.mark.parametrize("query", [b"format=json&usedonly", b"filter=%5Ea%23b%2F..%2F%3F%26", b"filter=a/../../quitquitquit?x"])
def test_a_query_passes_as_it_came(client: TestClient, admin: Admin, query: bytes) -> None:
    assert client.get(f"/stats?{query.decode()}").status_code == 200
    assert admin.targets == [b"/stats?" + query]


def test_a_head_has_no_body_and_no_false_length(client: TestClient, admin: Admin) -> None:
    for path in ("/stats", "/", "/api/status", "/healthz"):
        answer = client.head(path)
        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers.get("content-length") != "0"


def test_a_stream_without_an_end_has_no_head(client: TestClient, admin: Admin) -> None:
    head = client.head("/api/exchanges")
    assert (head.status_code, head.headers["allow"], head.content) == (405, "GET", b"")
    answer = client.post("/api/exchanges", headers={"authorization": "Bearer s3cret"})
    assert answer.status_code == 405
    assert answer.json()["error"].startswith("only GET is served here")
    assert admin.targets == []


def test_a_parameter_that_makes_no_sense(client: TestClient, admin: Admin) -> None:
    for name in ("since", "secrets"):
        answer = client.get("/api/exchanges", params={name: "yesterday"})
        assert answer.status_code == 422
        assert answer.json().keys() == {"error"}
        assert answer.json()["error"].startswith(f"the parameter {name} can't be understood: Input should be")
    assert admin.targets == []
    described = client.get("/openapi.json").json()["paths"]["/api/exchanges"]["get"]["responses"]["422"]
    assert described["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Problem"}


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer wrong"}])
def test_who_may_not_see_tokens_is_told_so(client: TestClient, admin: Admin, headers: dict[str, str]) -> None:
    answer = client.get("/api/exchanges?secrets=true", headers=headers)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"].startswith("seeing tokens in full needs the project's token")
    assert admin.targets == []


@pytest.mark.parametrize("path", WITHHELD)
def test_a_withheld_page_says_why(client: TestClient, admin: Admin, path: str) -> None:
    for answer in (client.get(path), client.post(path, headers={"authorization": "Bearer s3cret"})):
        assert answer.status_code == 404
        assert answer.json() == {"error": f"{path} {WITHHELD[path]}"}
    assert client.post(path).status_code == 401
    assert admin.targets == []


def test_a_change_is_first_asked_for_the_token(client: TestClient, admin: Admin) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUITQUITQUIT"):
        for path in ("/", "/stats", "/api/status", "/nowhere"):
            refused = client.request(method, path)
            assert refused.status_code == 401
            assert refused.headers["www-authenticate"] == "Bearer"
            known = client.request(method, path, headers={"authorization": "Bearer s3cret"})
            assert known.status_code == (404 if path == "/nowhere" else 405)
            assert "error" in known.json()
    assert admin.targets == []


def test_every_answer_is_not_to_be_kept_or_guessed_at(client: TestClient, admin: Admin) -> None:
    answers = [client.get(path) for path in ("/", "/stats", "/nowhere", "/api/status")]
    answers += [client.post("/"), client.get("/", headers={"host": "evil.example"})]
    for answer in answers:
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-content-type-options"] == "nosniff"


def test_no_envoy(client: TestClient) -> None:
    answer = client.get("/stats")
    assert answer.status_code == 502
    assert "can't be reached" in answer.json()["error"]
    value = client.get("/api/status").json()
    assert value["envoy"]["state"] == "unreachable"
    assert value["filter"] == {
        "name": "token_injector", "version": None, "module_sha256": None, "rejected": None, "failed": None, "wanted": None
    }  # fmt: skip
    assert value["token"] == {"age_s": None, "fetches": {}}
    assert value["services"]["jwt-api"] == {"ready": False, "detail": "connection refused"}


def test_an_envoy_that_does_not_answer(client: TestClient, admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    admin.answer = None
    monkeypatch.setattr(status, "PATIENCE_S", 0.1)
    monkeypatch.setattr(proxy, "SILENCE_S", 0.1)
    value = client.get("/api/status").json()
    assert value["envoy"]["state"] == "busy"
    assert "0.1 s" in value["envoy"]["detail"]
    answer = client.get("/stats")
    assert answer.status_code == 504
    assert "0.1 s" in answer.json()["error"]


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n", b"nonsense\r\n\r\n"])
def test_an_envoy_that_breaks_off(client: TestClient, admin: Admin, answer: bytes) -> None:
    admin.answer = answer
    assert client.get("/stats").status_code == 502
    assert client.get("/api/status").json()["envoy"]["state"] == "unreachable"


def test_an_envoy_that_says_something_else(client: TestClient, admin: Admin) -> None:
    value = client.get("/api/status").json()
    assert value["envoy"]["state"] == "UNKNOWN"
    assert value["filter"]["version"] is None


def test_a_jwt_api_that_is_not_there(client: TestClient) -> None:
    answer = client.get("/api/jwks")
    assert answer.status_code == 502
    assert answer.json() == {"error": "the JWT API can't be reached"}
