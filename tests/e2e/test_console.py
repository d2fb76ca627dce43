"""The console as a process before a real Envoy: what it reports, what it passes on, and that nothing gets through it."""

import contextlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import httpx2
import psutil
import pytest

from sandbox.console.proxy import OFFERED, WITHHELD
from sandbox.envoy.binary import find_envoy
from sandbox.workspace import HOME

TOKEN = "a-token-of-the-project"
SECRET = "a-secret-in-the-bootstrap"
PREBUILT = HOME / "filter" / "prebuilt"

Found = TypeVar("Found")


class Process:
    """A child with its output in a file; ended by its handle and always waited for."""

    def __init__(self, name: str, argv: Sequence[str | Path], cwd: Path, environment: dict[str, str]) -> None:
        self.log = cwd / f"{name}.log"
        with self.log.open("wb") as log:
            self._popen = subprocess.Popen(
                argv, cwd=cwd, env={**os.environ, "PYTHONPATH": str(HOME), **environment}, stdout=log, stderr=subprocess.STDOUT
            )
        self.pid = self._popen.pid

    @property
    def alive(self) -> bool:
        return self._popen.poll() is None

    def says(self, pattern: str) -> re.Match[str]:
        def look() -> re.Match[str] | None:
            assert self.alive, self.log.read_text()
            return re.search(pattern, self.log.read_text())

        return eventually(look)

    def stop(self, number: int = signal.SIGTERM) -> int:
        if self.alive:
            self._popen.send_signal(number)
        try:
            return self._popen.wait(10)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
            raise


def eventually(look: Callable[[], Found | None], within_s: float = 60.0) -> Found:
    """Ask until there is an answer; fail with the last one."""
    end = time.monotonic() + within_s
    while True:
        found = look()
        if found:
            return found
        assert time.monotonic() < end, found
        time.sleep(0.01)


class Stack:
    """A folder with Envoy's files, the console in it, and Envoy and the services when a test wants them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._processes = contextlib.ExitStack()
        (folder / "admin").mkdir(mode=0o700)
        (folder / "xds").mkdir()
        (folder / "console.token").write_text(TOKEN)
        jwt_api = self.run("jwt-api", [sys.executable, "-P", "-m", "services.jwt_api", "--port", "0"])
        self.jwt_api_url = jwt_api.says(r"listening on (\S+)")[1]
        self.jwt_api = jwt_api
        (folder / "envoy.json").write_text(json.dumps(render_bootstrap(self.jwt_api_url)))
        environment = {
            "CONSOLE_JWT_API_URL": self.jwt_api_url,
            "CONSOLE_UPSTREAM_URL": "http://127.0.0.1:1",
            "CONSOLE_TOKEN_FILE": str(folder / "console.token"),
        }
        self.console = self.run("console", [sys.executable, "-P", "-m", "sandbox.console", "--port", "0"], environment)
        self.url = self.console.says(r"listening on (\S+)")[1]
        self.port = int(self.url.rpartition(":")[2])
        self.client = self._processes.enter_context(httpx2.Client(base_url=self.url, timeout=20, trust_env=False))
        transport = httpx2.HTTPTransport(uds=str(folder / "admin" / "envoy.sock"))
        self.direct = self._processes.enter_context(httpx2.Client(transport=transport, base_url="http://envoy"))

    def run(self, name: str, argv: Sequence[str | Path], environment: dict[str, str] | None = None) -> Process:
        process = Process(name, argv, self.folder, environment or {})
        self._processes.callback(process.stop, signal.SIGKILL)
        return process

    def start_envoy(self) -> Process:
        flags = ("-c", "envoy.json", "--use-dynamic-base-id", "--concurrency", "1", "--log-level", "warning")
        envoy = self.run("envoy", [find_envoy(), *flags])
        self.await_status(lambda status: status["envoy"]["state"] == "LIVE" and status["filter"]["version"] is not None)
        return envoy

    def status(self) -> dict[str, Any]:
        answer = self.client.get("/api/status")
        assert answer.status_code == 200
        value: dict[str, Any] = answer.json()
        return value

    def await_status(self, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        def look() -> dict[str, Any] | None:
            status = self.status()
            return status if wanted(status) else None

        return eventually(look)

    def put_filter(self, module: Path, digest: str, *, tick: str = "1s") -> str:
        """Write the filter's resource as a swap does; return its version."""
        shutil.copyfile(module, self.folder / "xds" / f"{digest}.wasm")
        version = f"{digest}-0123456789ab"
        beside = self.folder / "xds" / ".filter.new"
        beside.write_text(json.dumps(render_filter(version, f"xds/{digest}.wasm", tick)))
        beside.rename(self.folder / "xds" / "filter.json")
        return version

    def close(self) -> None:
        self._processes.close()


def render_bootstrap(jwt_api_url: str) -> dict[str, Any]:
    host, port = jwt_api_url.removeprefix("http://").split(":")
    address = {"socket_address": {"address": host, "port_value": int(port)}}
    route = {"match": {"prefix": "/"}, "route": {"cluster": "jwt-api"}}
    manager = {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "ingress",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [
            {
                "name": "tap",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.tap.v3.Tap",
                    "common_config": {"admin_config": {"config_id": "t"}},
                },
            },
            {
                "name": "token_injector",
                "config_discovery": {
                    "config_source": {
                        "resource_api_version": "V3",
                        "path_config_source": {"path": "xds/filter.json", "watched_directory": {"path": "xds"}},
                    },
                    "type_urls": ["type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm"],
                },
            },
            {"name": "router", "typed_config": {"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}},
        ],
    }  # fmt: skip
    return {
        "node": {"id": "test", "cluster": "test"},
        "admin": {"address": {"pipe": {"path": "admin/envoy.sock", "mode": 0o600}}},
        "static_resources": {
            "listeners": [
                {
                    "name": "ingress",
                    "address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}},
                    "filter_chains": [{"filters": [{"name": "http", "typed_config": manager}]}],
                }
            ],
            "clusters": [
                {
                    "name": "jwt-api",
                    "load_assignment": {
                        "cluster_name": "jwt-api",
                        "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}],
                    },
                }
            ],
            "secrets": [{"name": "s", "generic_secret": {"secret": {"inline_string": SECRET}}}],
        },
    }


def render_filter(version: str, module: str, tick: str) -> dict[str, Any]:
    return {
        "version_info": version,
        "resources": [
            {
                "@type": "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig",
                "name": "token_injector",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                    "config": {
                        "name": "token_injector",
                        "root_id": "token_injector",
                        "vm_config": {
                            "vm_id": "token_injector",
                            "runtime": "envoy.wasm.runtime.v8",
                            "code": {"local": {"filename": module}},
                        },
                        "configuration": {
                            "@type": "type.googleapis.com/google.protobuf.StringValue",
                            "value": json.dumps({"cluster": "jwt-api", "tick": tick}),
                        },
                    },
                },
            }
        ],
    }


def shipped(compiler: str) -> tuple[Path, str]:
    """The module of a compiler and its SHA-256."""
    for entry in json.loads((PREBUILT / "manifest.json").read_text()):
        if entry["compiler"] == compiler:
            return PREBUILT / entry["file"], entry["sha256"]
    raise AssertionError(compiler)


@contextlib.contextmanager
def stack_in(folder: Path) -> Iterator[Stack]:
    """A stack, and afterwards proof that nothing of it is left."""
    mine = psutil.Process()
    before = {child.pid for child in mine.children(recursive=True)}
    stack = Stack(folder)
    stack.put_filter(*shipped("tinygo"))
    try:
        yield stack
        assert stack.console.stop() == -signal.SIGTERM
        log = stack.console.log.read_text()
        assert "Traceback" not in log
        assert TOKEN not in log
    finally:
        stack.close()
    assert {child.pid for child in mine.children(recursive=True)} == before
    assert not [path for path in folder.rglob("*") if path.name.startswith(".")]
    with pytest.raises(ConnectionRefusedError), socket.create_connection(("127.0.0.1", stack.port)):
        pass


@pytest.fixture(scope="module")
def living(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Stack, Process]]:
    with stack_in(tmp_path_factory.mktemp("console")) as stack:
        envoy = stack.start_envoy()
        yield stack, envoy
        assert envoy.alive
        assert "critical" not in envoy.log.read_text()


def assert_unharmed(stack: Stack, envoy: Process) -> None:
    assert envoy.alive
    assert stack.direct.get("/ready").text == "LIVE\n"
    levels = stack.direct.post("/logging").text
    assert "admin: warning" in levels
    assert ": trace" not in levels
    assert stack.direct.get("/stats?filter=^listener_manager.total_listeners_active$").text.endswith(": 1\n")


def test_status_before_during_and_after_envoy(tmp_path: Path) -> None:
    with stack_in(tmp_path) as stack:
        status = stack.status()
        assert status["envoy"]["state"] == "unreachable"
        assert status["envoy"]["version"] is None
        assert status["services"]["jwt-api"] == {"ready": True, "detail": "200"}
        assert status["services"]["upstream"] == {"ready": False, "detail": "connection refused"}
        assert stack.client.get("/ready").status_code == 502

        envoy = stack.start_envoy()
        status = stack.await_status(lambda status: status["token"]["age_s"] is not None)
        assert status["envoy"].pop("uptime_s") < 60
        assert status["envoy"] == {"state": "LIVE", "version": "1.40.0", "workers": 1, "detail": None}
        digest = shipped("tinygo")[1]
        assert status["filter"] == {
            "name": "token_injector",
            "version": f"{digest}-0123456789ab",
            "module_sha256": digest,
            "rejected": 0,
            "failed": 0,
            "wanted": None,
        }
        assert status["token"]["fetches"]["success"] >= 1
        assert status["token"]["fetches"]["timeout"] == 0

        envoy.stop(signal.SIGKILL)
        assert stack.status()["envoy"]["state"] == "unreachable"
        stack.jwt_api.stop()
        assert not stack.status()["services"]["jwt-api"]["ready"]
        assert stack.client.get("/api/jwks").status_code == 502
        stack.start_envoy()
        assert stack.status()["envoy"]["state"] == "LIVE"


@pytest.mark.slow
def test_status_through_a_swap_and_a_refusal(tmp_path: Path) -> None:
    with stack_in(tmp_path) as stack:
        stack.start_envoy()
        bad = tmp_path / "bad.wasm"
        bad.write_bytes(b"no module")
        stack.put_filter(bad, "b" * 64)
        status = stack.await_status(lambda status: status["filter"]["rejected"] == 1)
        assert status["filter"]["module_sha256"] == shipped("tinygo")[1]

        # Go's module takes seconds to compile, on most machines, and Envoy's admin interface does not answer meanwhile.
        version = stack.put_filter(*shipped("go"))
        seen: set[str] = set()

        def arrived(status: dict[str, Any]) -> bool:
            seen.add(status["envoy"]["state"])
            return bool(status["filter"]["version"] == version)

        stack.await_status(arrived)
        assert seen <= {"LIVE", "busy"}


def test_a_frozen_envoy_holds_nobody_up(tmp_path: Path) -> None:
    with stack_in(tmp_path) as stack:
        envoy = stack.start_envoy()
        frozen = psutil.Process(envoy.pid)
        frozen.suspend()
        eventually(lambda: frozen.status() == psutil.STATUS_STOPPED)
        status = stack.status()
        assert status["envoy"]["state"] == "busy"
        assert status["filter"]["version"] is None
        assert status["services"]["jwt-api"]["ready"]
        # A request that waits for Envoy must not hold the console up either.
        with socket.create_connection(("127.0.0.1", stack.port)) as waiting:
            waiting.sendall(b"GET /stats HTTP/1.1\r\nhost: localhost\r\n\r\n")
            console = psutil.Process(stack.console.pid)
            eventually(lambda: len(console.net_connections("unix")) > 0)
            assert stack.console.stop() == -signal.SIGTERM
        frozen.resume()


def test_a_reader_that_stops_reading_holds_nobody_up(tmp_path: Path) -> None:
    with stack_in(tmp_path) as stack:
        stack.start_envoy()
        with socket.socket() as slow:
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1024)
            slow.connect(("127.0.0.1", stack.port))
            slow.sendall(b"GET /stats HTTP/1.1\r\nhost: localhost\r\n\r\n" * 40)
            assert slow.recv(12) == b"HTTP/1.1 200"
            assert stack.status()["envoy"]["state"] == "LIVE"
            assert stack.console.stop() == -signal.SIGTERM


def test_every_path_of_envoy_is_offered_or_withheld(living: tuple[Stack, Process]) -> None:
    stack, _ = living
    listed = re.findall(r"^  (/\S*?)(?: (\(POST\)))?: ", stack.direct.get("/help").text, re.MULTILINE)
    paths = {path for path, _ in listed}
    assert {"/stats", "/quitquitquit", "/tap"} <= paths
    assert paths - {"/"} == OFFERED.keys() | WITHHELD.keys()
    assert {path for path, post in listed if post} <= WITHHELD.keys()


@pytest.mark.parametrize("path", OFFERED)
def test_an_offered_page_arrives(living: tuple[Stack, Process], path: str) -> None:
    stack, envoy = living
    direct, answer = stack.direct.get(path), stack.client.get(path)
    assert (answer.status_code, answer.headers["content-type"]) == (direct.status_code, direct.headers["content-type"])
    assert answer.status_code == 200
    if path in {"/help", "/certs", "/hot_restart_version", "/listeners", "/ready"}:
        assert answer.content == direct.content
    assert SECRET not in answer.text
    assert not re.search(r"eyJ[\w-]+\.[\w-]+\.", answer.text)
    assert_unharmed(stack, envoy)


def test_a_query_arrives(living: tuple[Stack, Process]) -> None:
    stack, _ = living
    answer = stack.client.get(r"/stats?format=json&filter=%5Eserver%5C.(live%7Cstate)%24")
    assert answer.json() == {"stats": [{"name": "server.live", "value": 1}, {"name": "server.state", "value": 0}]}
    assert stack.client.get("/stats?filter=(").status_code == 400
    assert stack.client.get("/config_dump?resource=nonsense").status_code == 404


def test_the_keys_are_passed_on(living: tuple[Stack, Process]) -> None:
    stack, _ = living
    answer = stack.client.get("/api/jwks")
    assert answer.json() == httpx2.get(f"{stack.jwt_api_url}/.well-known/jwks.json").json()
    assert "d" not in answer.json()["keys"][0]


def ask(stack: Stack, target: str, *headers: str, method: str = "GET", host: str = "localhost") -> tuple[int, str]:
    """One request as it is written here: no client tidies its path up."""
    with socket.create_connection(("127.0.0.1", stack.port)) as connection:
        lines = (f"{method} {target} HTTP/1.1", f"host: {host}", "connection: close", "content-length: 0", *headers, "", "")
        connection.sendall("\r\n".join(lines).encode("latin-1"))
        answer = b"".join(iter(lambda: connection.recv(1 << 16), b"")).decode()
    return int(answer.split(" ", 2)[1]), answer.partition("\r\n\r\n")[2]


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "CONNECT"])
@pytest.mark.parametrize("shows_token", [False, True])
def test_no_method_reaches_what_is_withheld(living: tuple[Stack, Process], method: str, shows_token: bool) -> None:
    stack, envoy = living
    headers = [f"authorization: Bearer {TOKEN}"] if shows_token else []
    expected = 404 if shows_token or method in {"GET", "HEAD"} else 401
    for path in WITHHELD:
        status, body = ask(stack, path, *headers, method=method)
        assert status == expected
        if method != "HEAD":
            assert path in body or "token" in body
    assert_unharmed(stack, envoy)


@pytest.mark.parametrize(
    "target",
    [
        "//quitquitquit",
        "/quitquitquit/",
        "/quitquitquit?",
        "/quitquitquit;a",
        "/%71uitquitquit",
        "/quitquitquit%00",
        "/quitquitquit%20",
        "/stats/../quitquitquit",
        "/stats/..;/quitquitquit",
        "/stats/%2e%2e/quitquitquit",
        "/stats/..%2fquitquitquit",
        "/stats%2f..%2fquitquitquit",
        "/stats%2fprometheus",
        "/%73tats",
        "/stats/",
        "//stats",
        "/./stats",
        "/stats%3f",
        "/stats%0d%0aPOST%20/quitquitquit",
        "/stats\\..\\quitquitquit",
        "/STATS",
        "/logging",
        "/logging?level=trace",
        "/healthcheck/fail",
        "/drain_listeners?graceful",
        "/stats/recentlookups/enable",
        "/tap",
        "http://localhost/quitquitquit",
        "http://envoy/stats",
        "*",
        "quitquitquit",
    ],
)
def test_no_path_trick_reaches_envoy(living: tuple[Stack, Process], target: str) -> None:
    stack, envoy = living
    for method, headers in (("GET", ()), ("POST", ()), ("POST", (f"authorization: Bearer {TOKEN}",))):
        status, body = ask(stack, target, *headers, method=method)
        assert status in ({400, 404} if method == "GET" else {400, 401, 404, 405})
        assert "error" in body or status == 400
    assert_unharmed(stack, envoy)


@pytest.mark.parametrize(
    "query",
    [
        "/../quitquitquit",
        "#/quitquitquit",
        "%0d%0a%0d%0aPOST%20/quitquitquit%20HTTP/1.1%0d%0a%0d%0a",
        "a=%00&filter=%ff",
        "format=nonsense",
        "mask=nonsense.nothing&resource=static_listeners",
        "enable=y&level=trace",
        "filter=" + "a" * 20_000,
    ],
)
@pytest.mark.parametrize("path", OFFERED)
def test_no_query_harms_envoy(living: tuple[Stack, Process], path: str, query: str) -> None:
    stack, envoy = living
    status, _ = ask(stack, f"{path}?{query}")
    assert status < 500
    assert envoy.alive


def test_envoy_is_unharmed_by_all_queries(living: tuple[Stack, Process]) -> None:
    assert_unharmed(*living)


@pytest.mark.parametrize("path", ["/", "/stats", "/api/status", "/api/jwks", "/quitquitquit"])
def test_other_hosts_and_sites_are_refused(living: tuple[Stack, Process], path: str) -> None:
    stack, envoy = living
    for method in ("GET", "POST"):
        token = f"authorization: Bearer {TOKEN}"
        assert ask(stack, path, token, method=method, host="evil.example")[0] == 421
        assert ask(stack, path, token, "origin: http://evil.example", method=method)[0] == 403
        assert ask(stack, path, token, "origin: null", method=method)[0] == 403
        assert ask(stack, path, token, "sec-fetch-site: cross-site", method=method)[0] == 403
        assert ask(stack, path, token, "host: localhost", method=method)[0] == 400
    assert_unharmed(stack, envoy)


def test_answers_come_at_once_on_a_used_connection(living: tuple[Stack, Process]) -> None:
    stack, _ = living
    times = []
    for _ in range(20):
        begin = time.monotonic()
        stack.client.get("/healthz")
        times.append(time.monotonic() - begin)
    assert min(times) < 0.03  # with Nagle's algorithm none is below 0.04


@pytest.mark.parametrize(
    ("flags", "environment", "code", "words"),
    [
        (["--port", "99999"], {}, 2, "--port"),
        (["--port", "0"], {"CONSOLE_UPSTREAM_URL": "upstream"}, 2, "CONSOLE_UPSTREAM_URL"),
        (["--host", "192.0.2.1"], {}, 3, "can't listen on 192.0.2.1 port 9901"),
    ],
)
def test_what_cannot_be_started_says_why(
    tmp_path: Path, flags: list[str], environment: dict[str, str], code: int, words: str
) -> None:
    console = Process("console", [sys.executable, "-P", "-m", "sandbox.console", *flags], tmp_path, environment)
    eventually(lambda: not console.alive)
    assert console.stop() == code
    assert words in console.log.read_text()
    assert "Traceback" not in console.log.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["console.log"]
