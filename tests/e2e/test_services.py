"""Both services as real processes under uvicorn: start, answer, break, end, and leave nothing behind."""

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
import jwt
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ROOT = Path(__file__).parents[2]
START_S = 20.0
END_S = 8.0
"""Less than the work that is open takes: a service that waits for it does not end in time. One second is promised."""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (DEBUG|INFO|WARNING|ERROR) (jwt-api|upstream) [^\x00-\x1f\x7f]+")

# What the local engine does: import both once, bind, fork, and hand each child its socket.
FORKER = """
import os, socket, sys, threading
from services.jwt_api import __main__ as jwt_api
from services.upstream import __main__ as upstream
assert threading.active_count() == 1, "an import started a thread"
service = {"jwt_api": jwt_api, "upstream": upstream}[sys.argv[1]]
sock = socket.create_server(("127.0.0.1", 0))
say = lambda text: os.write(1, text.encode() + b"\\n")  # in one piece, between the lines of the child
say(f"port {sock.getsockname()[1]}")
for line in sys.stdin:
    if (pid := os.fork()) == 0:
        service.serve(sock)
        os._exit(0)
    say(f"child {pid}")
    say(f"status {os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])}")
"""


@dataclass
class Service:
    """A running service, and every line it wrote so far."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def follow(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()
        with self._changed:
            self.lines.append("")
            self._changed.notify_all()

    def wait_for(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Return the first line that matches, or fail as soon as there can't be one."""

        def found() -> re.Match[str] | None:
            return next((m for line in self.lines[after:] if (m := re.search(pattern, line))), None)

        with self._changed:
            self._changed.wait_for(lambda: found() or "" in self.lines, START_S)
            match = found()
        assert match, f"no line matches {pattern!r} in {self.lines}"
        return match

    @property
    def address(self) -> tuple[str, int]:
        return "127.0.0.1", int(self.wait_for(r"listening on http://127\.0\.0\.1:(\d+)")[1])

    @property
    def url(self) -> str:
        return "http://{}:{}".format(*self.address)

    def end(self, number: int = signal.SIGTERM) -> None:
        """Send a signal and wait up to `END_S` for the process to die of it; if it does not, fail with the stack."""
        self.process.send_signal(number)
        try:
            assert self.process.wait(END_S) == -number
        except subprocess.TimeoutExpired:
            self.process.send_signal(signal.SIGABRT)
            self.process.wait()
            pytest.fail(f"not ended after {END_S} s at {time.strftime('%T', time.gmtime())}:\n" + "\n".join(self.lines))


@contextmanager
def run(name: str, *flags: str, env: dict[str, str] | None = None, code: str | None = None) -> Iterator[Service]:
    command = [sys.executable, "-c", code, name] if code else [sys.executable, "-m", f"services.{name}", *flags]
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        cwd=ROOT,
        env={key: value for key, value in os.environ.items() if not key.startswith(("JWT_API_", "UPSTREAM_"))}
        | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONFAULTHANDLER": "1"}
        | (env or {}),
    ) as process:
        service = Service(process)
        reader = threading.Thread(target=service.follow)
        reader.start()
        try:
            yield service
        finally:
            with suppress(ProcessLookupError):  # the whole group: a forked child must not outlive a failed test
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            reader.join()


Running = Callable[..., Service]


@pytest.fixture
def start() -> Iterator[Running]:
    with ExitStack() as stack:

        def start_one(name: str, **env: str) -> Service:
            return stack.enter_context(run(name, "--port", "0", env=env))

        yield start_one


@pytest.fixture(scope="module")
def upstream() -> Iterator[Service]:
    with run("upstream", "--port", "0") as service:
        yield service


def exchange(address: tuple[str, int], request: bytes) -> tuple[bytes, bytes]:
    """Send `request`, read until the other side closes, and return head and body."""
    with socket.create_connection(address, timeout=10) as sock:
        sock.sendall(request)
        answer = b"".join(iter(lambda: sock.recv(65_536), b""))
    head, _, body = answer.partition(b"\r\n\r\n")
    return head, body


def claims_of(url: str) -> tuple[str, dict[str, Any]]:
    with httpx2.Client(base_url=url) as client:
        token = client.get("/auth").headers["authorization"].removeprefix("Bearer ")
        keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    kid = jwt.get_unverified_header(token)["kid"]
    return kid, jwt.decode(token, keys[kid], ["ES256"], audience="upstream", issuer="http://jwt-api")


@pytest.mark.parametrize("name", ["jwt_api", "upstream"])
def test_a_service_starts_answers_and_ends(start: Running, name: str) -> None:
    service = start(name)
    assert httpx2.get(f"{service.url}/healthz").json() == {"status": "ok"}
    assert psutil.Process(service.process.pid).children(recursive=True) == []
    address = service.address
    service.end()
    with pytest.raises(ConnectionRefusedError), socket.create_connection(address, timeout=1):
        pass
    service.wait_for("ended")
    assert all(LINE.fullmatch(line) for line in service.lines if line)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_work_in_progress_does_not_hold_up_the_end(start: Running, number: signal.Signals) -> None:
    service = start("upstream")
    with ExitStack() as stack:
        idle, late, stream = (stack.enter_context(socket.create_connection(service.address)) for _ in range(3))
        idle.sendall(b"GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n")
        late.sendall(b"GET /delay/10 HTTP/1.1\r\nhost: a\r\n\r\n")
        stream.sendall(b"GET /stream/30?interval_ms=1000 HTTP/1.1\r\nhost: a\r\n\r\n")
        assert idle.recv(1000)
        assert stream.recv(1000)
        service.end(number)
    service.wait_for("ended")
    assert not any("Traceback" in line for line in service.lines)


@pytest.mark.parametrize("name", ["jwt_api", "upstream"])
def test_a_forked_child_serves_on_a_socket_it_is_given(name: str) -> None:
    with run(name, code=FORKER) as service:
        assert service.process.stdin is not None
        port = int(service.wait_for(r"^port (\d+)")[1])
        for delay_s in (None, 0.0, 0.001, 0.003, 0.005, 0.01, 0.02):
            before = len(service.lines)
            service.process.stdin.write("fork\n")
            service.process.stdin.flush()
            child = int(service.wait_for(r"^child (\d+)", after=before)[1])
            if delay_s is None:
                answer = httpx2.get(f"http://127.0.0.1:{port}/healthz")
                assert answer.status_code == 200
            else:
                time.sleep(delay_s)  # not for readiness: the signal is to hit every stage of the start
            os.kill(child, signal.SIGTERM)
            code = int(service.wait_for(r"^status (-?\d+)", after=before)[1])
            assert code == -signal.SIGTERM
        service.process.stdin.close()
        assert service.process.wait(START_S) == 0


def test_simultaneous_first_starts_share_one_key(start: Running, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "jwt-api.jwk"
    running = [start("jwt_api", JWT_API_KEY_FILE=str(path)) for _ in range(4)]
    kids = {claims_of(service.url)[0] for service in running}
    assert len(kids) == 1
    assert sum("made a signing key" in line for service in running for line in service.lines) == 1
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]


def test_simultaneous_starts_over_a_corrupt_key_share_the_new_one(start: Running, tmp_path: Path) -> None:
    path = tmp_path / "keys" / "jwt-api.jwk"
    path.parent.mkdir(mode=0o700)
    path.write_bytes(b'{"kty": "EC", "crv"')
    running = [start("jwt_api", JWT_API_KEY_FILE=str(path)) for _ in range(3)]
    assert len({claims_of(service.url)[0] for service in running}) == 1
    (aside,) = path.parent.glob("*.corrupt-*")
    assert aside.read_bytes() == b'{"kty": "EC", "crv"'
    assert sum(aside.name in line for service in running for line in service.lines) == 1


def test_a_key_outlives_a_restart_and_a_deleted_one_is_rotated(start: Running, tmp_path: Path) -> None:
    path = tmp_path / "k.jwk"
    kids = []
    for _ in range(2):
        service = start("jwt_api", JWT_API_KEY_FILE=str(path), JWT_API_TTL_S="7", JWT_API_SUBJECT="me")
        kid, claims = claims_of(service.url)
        assert claims["exp"] - claims["iat"] == 7
        assert claims["sub"] == "me"
        kids.append(kid)
        service.end()
    assert kids[0] == kids[1]
    path.unlink()
    assert claims_of(start("jwt_api", JWT_API_KEY_FILE=str(path)).url)[0] != kids[0]


@pytest.mark.parametrize(
    ("lines", "status"),
    [
        (b"host: evil.example", b"421"),
        (b"host: jwt-api:1", b"200"),
        (b"host: [::1]:8081", b"200"),
        (b"host: localhost\r\norigin: http://evil.example", b"403"),
        (b"host: localhost\r\norigin: null", b"403"),
        (b"host: localhost\r\nhost: evil.example", b"400"),
        (b"x-forwarded-host: localhost\r\nhost: evil.example", b"421"),
    ],
)
def test_forged_requests_are_refused_on_the_wire(jwt_api: Service, lines: bytes, status: bytes) -> None:
    head, _ = exchange(jwt_api.address, b"GET /auth HTTP/1.1\r\nconnection: close\r\n" + lines + b"\r\n\r\n")
    assert head.split(b" ")[1] == status
    assert (b"\r\nauthorization: Bearer " in head) == (status == b"200")


@pytest.fixture(scope="module")
def jwt_api() -> Iterator[Service]:
    with run("jwt_api", "--port", "0") as service:
        yield service


def test_a_request_without_host_gets_no_token(jwt_api: Service) -> None:
    head, body = exchange(jwt_api.address, b"GET /auth HTTP/1.0\r\n\r\n")
    assert b" 400 " in head.split(b"\r\n")[0]
    assert json.loads(body) == {"error": "exactly one Host header is needed"}


def test_the_access_log_tells_no_token_no_query_and_no_header(start: Running) -> None:
    jwt_api = start("jwt_api", JWT_API_ACCESS_LOG="1")
    token = httpx2.get(f"{jwt_api.url}/auth").headers["authorization"].removeprefix("Bearer ")
    httpx2.get(f"{jwt_api.url}/auth?token={token}", headers={"authorization": f"Bearer {token}"})
    upstream = start("upstream", UPSTREAM_ACCESS_LOG="1")
    httpx2.post(f"{upstream.url}/a%0Ab?token={token}", headers={"authorization": f"Bearer {token}"}, content=token)
    jwt_api.end()
    upstream.end()
    assert sum('"GET /auth HTTP/1.1" 200' in line for line in jwt_api.lines) == 2
    upstream.wait_for(r'"POST /a%0Ab HTTP/1\.1" 200')
    for line in jwt_api.lines + upstream.lines:
        assert not any(part in line for part in token.split("."))
        assert not line or LINE.fullmatch(line)


def test_the_access_log_is_off_by_default(start: Running) -> None:
    service = start("upstream")
    httpx2.get(f"{service.url}/x")
    service.end()
    assert not any("GET" in line for line in service.lines)


@pytest.mark.parametrize(
    ("name", "variable", "value"),
    [
        ("jwt_api", "JWT_API_TTL_S", "soon"),
        ("jwt_api", "JWT_API_KEY_FILE", "/dev/null/k.jwk"),
        ("upstream", "UPSTREAM_KEPT_BYTES", "all"),
    ],
)
def test_a_bad_setting_ends_the_start_with_one_line(start: Running, name: str, variable: str, value: str) -> None:
    service = start(name, **{variable: value})
    assert service.process.wait(START_S) == 2
    assert value in service.wait_for("ERROR").string
    assert len([line for line in service.lines if line]) == 1


def test_a_busy_port_ends_the_start_with_its_reason() -> None:
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with run("upstream", "--port", str(port)) as service:
            assert service.process.wait(START_S) == 3
            service.wait_for(f"can't listen on 127.0.0.1 port {port}: .*in use")


TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_", min_size=1, max_size=12)
NAME = TOKEN.map(lambda name: f"x-{name}".encode())
VALUE = st.binary(max_size=20).map(lambda value: re.sub(rb"[\x00-\x1f\x7f]", b"", value).strip(b" "))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    headers=st.lists(st.tuples(NAME, VALUE), max_size=12),
    path=st.text("abc/%:;@=+,!~*'().-", max_size=20).map(lambda path: "/x" + path),
    body=st.binary(max_size=60),
)
def test_the_echo_tells_what_was_sent(upstream: Service, headers: list[tuple[bytes, bytes]], path: str, body: bytes) -> None:
    sent = [
        (b"host", b"any"),
        *headers,
        *headers[:2],
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    head = b"".join(b"%s: %s\r\n" % pair for pair in sent)
    _, answer = exchange(upstream.address, b"POST %s?q=1 HTTP/1.1\r\n%s\r\n%s" % (path.encode(), head, body))
    echo = json.loads(answer)
    arrived = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in echo["headers"]]
    assert arrived == [(name.lower(), value) for name, value in sent]
    assert (echo["method"], echo["path"], echo["query"]["raw"]) == ("POST", path, "q=1")
    assert echo["body"]["total_bytes"] == len(body)


@pytest.mark.parametrize(
    ("line", "path", "version"),
    [
        (b"OPTIONS * HTTP/1.1", "*", "1.1"),
        (b"GET http://other.example/a HTTP/1.1", "http://other.example/a", "1.1"),
        (b"BREW /%zz/../. HTTP/1.0", "/%zz/../.", "1.0"),
    ],
)
def test_odd_request_lines_are_echoed(upstream: Service, line: bytes, path: str, version: str) -> None:
    _, body = exchange(upstream.address, line + b"\r\nhost: a\r\nconnection: close\r\n\r\n")
    echo = json.loads(body)
    assert (echo["method"], echo["path"], echo["http_version"]) == (line.split()[0].decode(), path, version)


def test_head_has_the_headers_of_get_and_no_body(upstream: Service) -> None:
    head, body = exchange(upstream.address, b"HEAD /x HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
    assert b"200 OK" in head
    assert int(re.search(rb"content-length: (\d+)", head)[1]) > 0  # type: ignore[index]
    assert body == b""


def test_headers_as_large_as_envoy_lets_through_are_echoed(upstream: Service) -> None:
    value = b"v" * 200_000
    request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-large: " + value + b"\r\n\r\n"
    assert ["x-large", value.decode()] in json.loads(exchange(upstream.address, request)[1])["headers"]


def test_a_large_body_is_counted_in_bounded_memory(start: Running) -> None:
    service = start("upstream")
    process = psutil.Process(service.process.pid)
    httpx2.get(f"{service.url}/x")
    before = process.memory_info().rss
    chunks = (b"x" * 65_536 for _ in range(1000))
    body = httpx2.post(f"{service.url}/x", content=chunks, timeout=30).json()["body"]
    assert (body["total_bytes"], body["kept_bytes"], body["truncated"]) == (65_536_000, 65_536, True)
    assert process.memory_info().rss - before < 20_000_000


def test_a_body_beyond_the_limit_is_refused_while_it_is_sent(start: Running) -> None:
    service = start("upstream", UPSTREAM_MAX_BODY_BYTES="100000")
    chunk = b"1000\r\n" + b"x" * 4096 + b"\r\n"
    with socket.create_connection(service.address, timeout=10) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n" + chunk * 25)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 413 ")
    assert httpx2.get(f"{service.url}/healthz").status_code == 200


@pytest.mark.parametrize(
    "request_bytes", [b"\x00\x01\x02\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nhost: a\r\n b: c\r\n\r\n"]
)
@pytest.mark.parametrize("name", ["jwt_api", "upstream"])
def test_garbage_is_a_bad_request_and_the_service_lives(request: pytest.FixtureRequest, name: str, request_bytes: bytes) -> None:
    service: Service = request.getfixturevalue(name)
    with socket.create_connection(service.address, timeout=10) as sock:
        sock.sendall(request_bytes)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(65_536)
    assert answer[:12] in {b"HTTP/1.1 400", b"HTTP/1.1 200", b""}
    assert httpx2.get(f"{service.url}/healthz").status_code == 200


def test_an_upgrade_is_echoed_not_followed(upstream: Service) -> None:
    request = b"GET /ws HTTP/1.1\r\nhost: a\r\nconnection: upgrade\r\nupgrade: websocket\r\n\r\n"
    with socket.create_connection(upstream.address, timeout=10) as sock:
        sock.sendall(request)
        assert sock.recv(65_536).startswith(b"HTTP/1.1 200 ")


def test_a_client_that_goes_away_leaves_no_trace(start: Running) -> None:
    service = start("upstream")
    for path in (b"/delay/0.2", b"/stream/50?interval_ms=10", b"/bytes/1048576"):
        with socket.create_connection(service.address) as sock:
            sock.sendall(b"GET " + path + b" HTTP/1.1\r\nhost: a\r\n\r\n")
    with socket.create_connection(service.address) as sock:
        sock.sendall(b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc")
    assert httpx2.get(f"{service.url}/delay/0.5").status_code == 200
    service.end()
    assert not any("ERROR" in line or "Traceback" in line for line in service.lines)
