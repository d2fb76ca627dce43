"""Log levels: what is asked of Envoy, and what is not, over ASGI before a stand-in for its admin socket."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st

from sandbox.console import levels
from sandbox.console.app import create_app
from sandbox.console.settings import Settings
from sandbox.envoy.admin import AdminClient
from sandbox.envoy.log_levels import ALL, LEVELS, check_changes, parse_levels, resolve_changes
from sandbox.errors import ConfigError
from sandbox.session.levels import parse_changes

HEADERS = {"authorization": "Bearer s3cret"}


class Envoy:
    """Stands in for `AdminClient.read`: answers as Envoy's /logging does, and keeps what it was asked."""

    def __init__(self) -> None:
        self.levels = {"http": "info", "wasm": "info", "main": "info"}
        self.asked: list[str] = []
        self.deaf = False

    async def read(self, path: str, *, timeout_s: float, query: dict[str, str] | None = None, method: str = "GET") -> bytes:
        assert (path, method) == ("/logging", "POST")
        assert timeout_s == levels.SILENCE_S
        if query:
            self.asked.append(query["paths"])
            if self.deaf:
                return b"error: unknown logger name\n"
            self.levels.update(pair.split(":") for pair in query["paths"].split(","))
        return ("active loggers:\n" + "".join(f"  {name}: {level}\n" for name, level in self.levels.items()) + "\n").encode()


@pytest.fixture
def envoy(monkeypatch: pytest.MonkeyPatch) -> Envoy:
    envoy = Envoy()
    monkeypatch.setattr(AdminClient, "read", lambda _, *args, **options: envoy.read(*args, **options))
    return envoy


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    (tmp_path / "token").write_text("s3cret\n")
    settings = Settings(
        admin_socket="a.sock", jwt_api_url="http://127.0.0.1:1", upstream_url="http://127.0.0.1:1", token_file=tmp_path / "token"
    )
    with TestClient(create_app(settings), base_url="http://localhost:9901") as client:
        yield client


def test_they_are_listed_and_changed(client: TestClient, envoy: Envoy) -> None:
    assert client.get(levels.PATH).json() == {"levels": {"http": "info", "wasm": "info", "main": "info"}}
    answer = client.post(levels.PATH, json={"levels": {"wasm": "trace", "http": "debug"}}, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (200, {"levels": {"http": "debug", "wasm": "trace", "main": "info"}})
    answer = client.post(levels.PATH, json={"levels": {"all": "error", "wasm": "warning"}}, headers=HEADERS)
    assert answer.json() == {"levels": {"http": "error", "wasm": "warning", "main": "error"}}
    assert envoy.asked == ["wasm:trace,http:debug", "http:error,wasm:warning,main:error"]
    assert client.head(levels.PATH).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"levels": {"wasm": "loud"}}, "no log level is called 'loud': one of trace, debug, "),
        ({"levels": {"wasm": "trace", "http": "TRACE"}}, "no log level is called 'TRACE'"),
        ({"levels": {"wasn": "trace"}}, "no logger of Envoy is called 'wasn': did you mean wasm?"),
        (
            {"levels": {"wasm": "trace", "nonsense": "trace"}},
            "no logger of Envoy is called 'nonsense': Envoy has: http, main, wasm",
        ),
        ({"levels": {"wasm:trace,http": "trace"}}, "no logger is called"),
        ({"levels": {"": "trace"}}, "no logger is called"),
        ({"levels": {"wasm\n": "trace"}}, "no logger is called"),
        ({"levels": {}}, "a change is written as"),
        ({"levels": {"wasm": 1}}, "a change is written as"),
        ({"levels": ["wasm"]}, "a change is written as"),
        (["levels"], "a change is written as"),
        ({}, "a change is written as"),
    ],
)
def test_what_is_wrong_changes_nothing(client: TestClient, envoy: Envoy, body: object, said: str) -> None:
    answer = client.post(levels.PATH, json=body, headers=HEADERS)
    assert answer.status_code == 400
    assert answer.json()["error"].startswith(said)
    assert envoy.asked == []


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 10_000, b'{"levels"' + b" " * 20_000])
def test_a_body_that_is_none(client: TestClient, envoy: Envoy, body: bytes) -> None:
    answer = client.post(levels.PATH, content=body, headers=HEADERS)
    assert answer.status_code == (413 if len(body) > levels.MAX_BODY_BYTES else 400)
    assert "error" in answer.json()
    assert envoy.asked == []


def test_a_change_needs_the_token(client: TestClient, envoy: Envoy) -> None:
    change = {"levels": {"wasm": "trace"}}
    assert client.post(levels.PATH, json=change).status_code == 401
    assert client.post(levels.PATH, json=change, headers={"authorization": "Bearer wrong"}).status_code == 401
    assert client.post(levels.PATH, json=change, headers={**HEADERS, "origin": "http://evil.example"}).status_code == 403
    assert envoy.asked == []


def test_other_methods(client: TestClient) -> None:
    answer = client.put(levels.PATH, json={}, headers=HEADERS)
    assert (answer.status_code, answer.json()) == (405, {"error": "only GET, HEAD and POST are served here"})


def test_an_envoy_that_does_not_take_it(client: TestClient, envoy: Envoy) -> None:
    envoy.deaf = True
    answer = client.post(levels.PATH, json={"levels": {"wasm": "trace"}}, headers=HEADERS)
    assert answer.status_code == 502
    assert "did not take the log levels: error: unknown logger name" in answer.json()["error"]
    envoy.levels = {}
    assert client.get(levels.PATH).status_code == 502


def test_no_envoy(client: TestClient) -> None:
    for answer in (client.get(levels.PATH), client.post(levels.PATH, json={"levels": {"wasm": "trace"}}, headers=HEADERS)):
        assert answer.status_code == 502
        assert "can't be reached" in answer.json()["error"]


@given(st.dictionaries(st.text(), st.text()), st.text())
def test_nothing_but_names_and_levels_is_ever_sent(changes: dict[str, str], text: str) -> None:
    known = {**dict.fromkeys(changes, "info"), **parse_levels(text)}
    try:
        wanted = resolve_changes(changes, known)
    except ConfigError:
        return
    check_changes(changes)
    assert all(level in LEVELS for level in wanted.values())
    assert ALL not in wanted or ALL in known
    assert not changes or all(name.replace("_", "a").isalnum() for name in changes)


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        (["debug"], {"all": "debug"}),
        (["wasm=trace"], {"wasm": "trace"}),
        (["wasm=trace,http=debug", "main=off"], {"wasm": "trace", "http": "debug", "main": "off"}),
        (["warning, wasm = trace"], {"all": "warning", "wasm": "trace"}),
        (["wasm=trace", "wasm=info"], {"wasm": "info"}),
    ],
)
def test_what_is_typed(words: list[str], changes: dict[str, str]) -> None:
    assert parse_changes(words) == changes


@pytest.mark.parametrize("word", ["", "wasm=", "=trace", "wasm", "wasm=loud", "a=b=trace", "wasm=trace,", "wasm:trace", "warn"])
def test_what_is_typed_wrong(word: str) -> None:
    with pytest.raises(ConfigError):
        parse_changes([word])


def test_envoys_list_is_read() -> None:
    assert parse_levels("active loggers:\n  admin: warning\n  http2: off\n\n") == {"admin": "warning", "http2": "off"}
    assert parse_levels(json.dumps({"a": "info"})) == {}
