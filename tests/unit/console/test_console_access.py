"""Who may ask the console: Host, Origin, Sec-Fetch-Site and the token, as pure functions."""

from pathlib import Path

import pytest

from sandbox.console.access import find_refusal, find_token_refusal, load_token

ALLOWED = ("localhost", "127.0.0.1", "[::1]", "console")


def status_of(*headers: tuple[str, str]) -> int | None:
    refusal = find_refusal([(name.encode(), value.encode("latin-1")) for name, value in headers], ALLOWED)
    return refusal.status if refusal else None


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:9901", "LOCALHOST:1", "localhost.", "127.0.0.1:9901", "[::1]", "[::1]:9901", "console"]
)
def test_known_hosts_pass(host: str) -> None:
    assert status_of(("host", host)) is None


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("evil.example", 421),
        ("evil.example:9901", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.2", 421),
        ("[::2]", 421),
        ("", 400),
        ("localhost/", 400),
        ("a@localhost", 400),
        ("localhost:80:80", 400),
        ("localhost,evil", 400),
        ("::1", 400),
    ],
)
def test_other_hosts_do_not(host: str, status: int) -> None:
    assert status_of(("host", host)) == status


def test_there_must_be_one_host() -> None:
    assert status_of() == 400
    assert status_of(("host", "localhost"), ("host", "localhost")) == 400


@pytest.mark.parametrize("origin", ["http://localhost:9901", "https://localhost", "http://[::1]:9901", "http://127.0.0.1:3000"])
def test_pages_of_this_machine_pass(origin: str) -> None:
    assert status_of(("host", "localhost:9901"), ("origin", origin)) is None


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "", "file://", "http://localhost.evil.example", "http://localhost@evil.example"]
)
def test_pages_of_other_sites_do_not(origin: str) -> None:
    assert status_of(("host", "localhost:9901"), ("origin", origin)) == 403


def test_a_second_origin_does_not_hide_behind_a_good_one() -> None:
    assert status_of(("host", "localhost"), ("origin", "http://localhost"), ("origin", "http://evil.example")) == 403


@pytest.mark.parametrize(
    ("value", "status"), [("cross-site", 403), ("Cross-Site", 403), ("same-origin", None), ("same-site", None), ("none", None)]
)
def test_what_the_browser_says_of_the_page_counts(value: str, status: int | None) -> None:
    assert status_of(("host", "localhost"), ("sec-fetch-site", value)) == status


@pytest.mark.parametrize(
    ("shown", "refused"),
    [
        ([b"Bearer s3cret"], False),
        ([b"bearer s3cret"], False),
        ([b"Bearer s3cre"], True),
        ([b"Bearer s3cret2"], True),
        ([b"Bearer "], True),
        ([b"Basic s3cret"], True),
        ([b"s3cret"], True),
        ([b"Bearer s\xc3\xa9cret"], True),
        ([], True),
        ([b"Bearer s3cret", b"Bearer s3cret"], True),
    ],
)
def test_a_change_needs_the_token(shown: list[bytes], refused: bool) -> None:
    refusal = find_token_refusal([(b"authorization", value) for value in shown], b"s3cret", purpose="a change")
    assert (refusal is not None) == refused
    if refusal:
        assert refusal.status == 401
        assert refusal.reason.startswith("a change needs the project's token")
        assert "s3cret" not in refusal.reason


@pytest.mark.parametrize("shown", [[], [(b"authorization", b"Bearer ")], [(b"authorization", b"Bearer")]])
def test_no_token_is_matched_by_nothing(shown: list[tuple[bytes, bytes]]) -> None:
    refusal = find_token_refusal(shown, b"", purpose="a change")
    assert refusal is not None
    assert refusal.status == 401


def test_the_token_is_read_anew(tmp_path: Path) -> None:
    path = tmp_path / "console.token"
    assert load_token(None) == load_token(path) == load_token(tmp_path) == b""
    path.write_bytes(b"one\n")
    assert load_token(path) == b"one"
    path.write_bytes(b"two")
    assert load_token(path) == b"two"
