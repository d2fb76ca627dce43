"""Who may ask the JWT API."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.jwt_api.hosts import find_refusal
from services.jwt_api.settings import DEFAULT_HOSTS


def status(*headers: tuple[str, str]) -> int | None:
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    refusal = find_refusal(pairs, DEFAULT_HOSTS)
    return refusal.status if refusal else None


@pytest.mark.parametrize("port", ["", ":80", ":8081", ":65535"])
@pytest.mark.parametrize("host", ["jwt-api", "localhost", "LocalHost", "localhost.", "127.0.0.1", "[::1]"])
def test_our_names_are_served_on_any_port(host: str, port: str) -> None:
    assert status(("host", host + port)) is None


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "0.0.0.0", "[::]"])
def test_other_names_are_not(host: str) -> None:
    assert status(("host", host)) == 421


@pytest.mark.parametrize("host", ["", "a b", "user@localhost", "localhost:80:80", "localhost:x", "localhost/", "::1"])
def test_a_malformed_host_is_a_bad_request(host: str) -> None:
    assert status(("host", host)) == 400


def test_none_or_two_hosts_are_a_bad_request() -> None:
    assert status() == 400
    assert status(("host", "localhost"), ("host", "localhost")) == 400


def test_the_origin_must_be_this_service_itself() -> None:
    assert status(("host", "localhost:8081"), ("origin", "http://localhost:8081")) is None
    for origin in (
        "http://evil.example",
        "null",
        "",
        "https://localhost:8081",
        "http://localhost",
        "http://127.0.0.1:8081",
    ):
        assert status(("host", "localhost:8081"), ("origin", origin)) == 403
    assert status(("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")) == 403


@given(st.binary())
def test_no_host_breaks_the_check(value: bytes) -> None:
    refusal = find_refusal([(b"host", value)], DEFAULT_HOSTS)
    assert refusal is None or refusal.status in {400, 421}
