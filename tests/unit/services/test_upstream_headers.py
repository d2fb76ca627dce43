"""Which headers `/response-headers` sets."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.upstream.headers import parse_response_headers
from services.upstream.limits import RefusedError


def test_order_and_duplicates_are_kept_and_names_are_lower_case() -> None:
    assert parse_response_headers(b"B=2&a=1&b=3&c&d=%20x%20y%20+") == (
        (b"b", b"2"),
        (b"a", b"1"),
        (b"b", b"3"),
        (b"c", b""),
        (b"d", b"x y"),
    )


def test_bytes_beyond_ascii_go_through_as_they_are() -> None:
    assert parse_response_headers(b"a=%C3%A9&b=%ff") == ((b"a", b"\xc3\xa9"), (b"b", b"\xff"))


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (b"a=%0d%0aset-cookie:x", "control"),
        (b"a=%00", "control"),
        (b"a=%7f", "control"),
        (b"a=x%09y", "control"),
        (b"a%0d%0ab=1", "token"),
        (b"a%20b=1", "token"),
        (b"=1", "token"),
        (b"%C3%A9=1", "token"),
        (b"x" * 257 + b"=1", "token"),
        (b"Content-Length=5", "content-length"),
        (b"transfer-encoding=chunked", "transfer-encoding"),
        (b"connection=close", "connection"),
        (b"&".join([b"a=1"] * 257), "too many"),
    ],
)
def test_what_would_break_the_message_is_refused(query: bytes, reason: str) -> None:
    with pytest.raises(RefusedError, match=reason) as caught:
        parse_response_headers(query)
    assert caught.value.refusal.status == 400
    assert caught.value.refusal.limit


@given(st.binary(max_size=60))
def test_any_query_is_refused_or_gives_headers_that_can_be_sent(query: bytes) -> None:
    try:
        headers = parse_response_headers(query)
    except RefusedError:
        return
    for name, value in headers:
        assert re.fullmatch(rb"[!-9;-~]+", name)
        assert not re.search(rb"[\x00-\x1f\x7f]", value)
        assert value == value.strip()
