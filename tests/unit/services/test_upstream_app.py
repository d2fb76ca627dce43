"""The upstream over ASGI: what each route does, and what is refused with a reason and a limit."""

import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from fastapi.testclient import TestClient

from services.upstream.app import create_app
from services.upstream.routes import METHODS
from services.upstream.settings import Settings


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient]:
    settings = Settings(kept_bytes=8, max_body_bytes=32)
    with TestClient(create_app(settings), base_url="http://anything.example") as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/anything", "/anything/x", "/status", "/status/", "/status/200/x", "/a//b", "/docs"])
@pytest.mark.parametrize("method", [*METHODS, "PURGE", "M-SEARCH"])
def test_other_paths_are_echoed_with_any_method(client: TestClient, method: str, path: str) -> None:
    answer = client.request(method, f"{path}?a=1&a=2", headers=[("x-a", "1"), ("X-A", "2"), ("origin", "http://evil")])
    assert answer.status_code == 200
    assert answer.headers["x-content-type-options"] == "nosniff"
    if method == "HEAD":
        return
    echo = answer.json()
    assert (echo["method"], echo["path"]) == (method, path)
    assert echo["query"] == {"raw": "a=1&a=2", "pairs": [["a", "1"], ["a", "2"]]}
    assert [pair for pair in echo["headers"] if pair[0] == "x-a"] == [["x-a", "1"], ["x-a", "2"]]
    assert ["host", "anything.example"] in echo["headers"]


def test_a_path_arrives_as_it_was_on_the_wire(client: TestClient) -> None:
    assert client.get("/a%2Fb%20c/%C3%A9").json()["path"] == "/a%2Fb%20c/%C3%A9"


def test_a_body_beyond_what_is_kept_is_counted(client: TestClient) -> None:
    body = client.post("/", content=b"0123456789").json()["body"]
    assert body == {"encoding": "utf-8", "data": "01234567", "total_bytes": 10, "kept_bytes": 8, "truncated": True}
    body = client.post("/", content=b"\xff\x00").json()["body"]
    assert body == {"encoding": "base64", "data": "/wA=", "total_bytes": 2, "kept_bytes": 2, "truncated": False}


@pytest.mark.parametrize("content", [b"x" * 33, iter([b"x" * 30, b"x" * 3])])
def test_a_body_beyond_what_is_counted_is_refused(client: TestClient, content: bytes | Iterator[bytes]) -> None:
    answer = client.post("/", content=content)
    assert answer.status_code == 413
    assert answer.json() == {"error": "the body is too large", "limit": "32 bytes"}
    assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("code", [200, 201, 204, 205, 299, 301, 304, 404, 418, 500, 503, 599])
def test_status(client: TestClient, method: str, code: int) -> None:
    answer = client.request(method, f"/status/{code}", follow_redirects=False)
    assert answer.status_code == code
    assert bool(answer.content) == (code not in {204, 205, 304} and method != "HEAD")


def test_delay_echoes_late(client: TestClient) -> None:
    start = time.monotonic()
    answer = client.post("/delay/0.2?a=1", content=b"x")
    assert time.monotonic() - start >= 0.2
    assert (answer.json()["path"], answer.json()["body"]["data"]) == ("/delay/0.2", "x")


def test_response_headers_keep_order_and_duplicates(client: TestClient) -> None:
    answer = client.get("/response-headers?x-b=1&x-a=2&X-B=3")
    assert [pair for pair in answer.headers.multi_items() if pair[0].startswith("x-")] == [
        ("x-b", "1"),
        ("x-a", "2"),
        ("x-b", "3"),
    ]
    assert answer.json() == {"headers": ["x-b", "x-a", "x-b"]}


def test_response_headers_can_replace_the_content_type_and_never_reflect_a_value(client: TestClient) -> None:
    answer = client.get("/response-headers?content-type=text/html&x-a=<script>")
    assert answer.headers.get_list("content-type") == ["text/html"]
    assert "<" not in answer.text


@pytest.mark.parametrize("size", [0, 1, 256, 1000, 1_048_576])
def test_bytes_are_the_same_every_time(client: TestClient, size: int) -> None:
    answer = client.get(f"/bytes/{size}")
    assert answer.content == bytes(number % 256 for number in range(size))
    assert answer.headers["content-length"] == str(size)
    assert client.head(f"/bytes/{size}").headers["content-length"] == str(size)


def test_stream_sends_lines(client: TestClient) -> None:
    answer = client.get("/stream/3?interval_ms=1")
    assert answer.headers["content-type"] == "application/x-ndjson"
    assert answer.text == '{"line": 0, "of": 3}\n{"line": 1, "of": 3}\n{"line": 2, "of": 3}\n'
    assert client.get("/stream/0").text == ""
    assert len(client.get("/stream/1000").text.splitlines()) == 1000


def test_the_headers_of_a_stream_do_not_wait_for_its_lines(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    async def sleep(seconds: float) -> None:
        pytest.fail(f"waits for {seconds:g} s")

    monkeypatch.setattr("services.upstream.routes.asyncio", SimpleNamespace(sleep=sleep))
    assert client.head("/stream/20?interval_ms=1000").status_code == 200


@pytest.mark.parametrize(
    ("path", "limit"),
    [
        ("/status/199", "whole number, 200 to 599"),
        ("/status/600", "whole number, 200 to 599"),
        ("/status/ok", "whole number, 200 to 599"),
        ("/status/200.5", "whole number, 200 to 599"),
        ("/delay/-1", "number, 0 to 10"),
        ("/delay/10.01", "number, 0 to 10"),
        ("/delay/nan", "number, 0 to 10"),
        ("/delay/inf", "number, 0 to 10"),
        ("/bytes/-1", "whole number, 0 to 1048576"),
        ("/bytes/1048577", "whole number, 0 to 1048576"),
        ("/bytes/" + "9" * 5000, "whole number, 0 to 1048576"),
        ("/stream/1001", "whole number, 0 to 1000"),
        ("/stream/x", "whole number, 0 to 1000"),
        ("/stream/1?interval_ms=1001", "whole number, 0 to 1000"),
        ("/stream/1?interval_ms=", "whole number, 0 to 1000"),
        ("/stream/1000?interval_ms=31", "30 s in all"),
        ("/response-headers?a=%0d%0ab:c", "no byte below 0x20, no 0x7f"),
    ],
)
def test_beyond_a_limit_is_400_with_the_limit(client: TestClient, path: str, limit: str) -> None:
    answer = client.get(path)
    assert answer.status_code == 400
    assert set(answer.json()) == {"error", "limit"}
    assert answer.json()["limit"] == limit


@pytest.mark.parametrize("path", ["/status/200", "/healthz", "/bytes/1"])
def test_an_exotic_method_on_a_known_path_is_told_the_others(client: TestClient, path: str) -> None:
    answer = client.request("PURGE", path)
    assert answer.status_code == 405
    assert answer.headers["allow"] == ", ".join(METHODS)
    assert set(answer.json()) == {"error", "limit"}


def test_connect_is_refused(client: TestClient) -> None:
    answer = client.request("CONNECT", "/anything-else")
    assert answer.status_code == 405
    assert answer.headers["allow"] == ", ".join(METHODS)


def test_health(client: TestClient) -> None:
    assert client.get("/healthz").json() == {"status": "ok"}
    assert client.head("/healthz").status_code == 200


def test_the_description_has_no_422_and_every_route(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {
        "/healthz",
        "/status/{code}",
        "/delay/{seconds}",
        "/response-headers",
        "/bytes/{size}",
        "/stream/{lines}",
        "/anything",
    }
    for path in schema["paths"].values():
        assert set(path) == {"get"}
        assert "422" not in path["get"]["responses"]
        assert path["get"]["summary"]
        assert path["get"]["description"]
