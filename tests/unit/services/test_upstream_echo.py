"""The echo without HTTP: bodies, queries, and what is left of a request that is neither text nor ASCII."""

import asyncio
import base64
import json
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.types import Message, Scope

from services.upstream.echo import Body, BodyTooLargeError, parse_query, read_body, render_body, render_echo


def read(chunks: list[bytes], *, kept: int, most: int, headers: list[tuple[bytes, bytes]] | None = None) -> Body:
    messages = [{"type": "http.request", "body": chunk, "more_body": True} for chunk in chunks]
    messages.append({"type": "http.request", "body": b"", "more_body": False})

    async def receive() -> Message:
        return messages.pop(0)

    return asyncio.run(read_body({"headers": headers or []}, receive, kept_bytes=kept, max_bytes=most))


@given(st.lists(st.binary(max_size=50), max_size=8), st.integers(0, 120))
def test_the_first_bytes_are_kept_and_all_are_counted(chunks: list[bytes], kept: int) -> None:
    whole = b"".join(chunks)
    assert read(chunks, kept=kept, most=1000) == Body(kept=whole[:kept], total_bytes=len(whole))


def test_a_body_is_refused_from_one_byte_beyond_the_limit() -> None:
    assert read([b"12345", b"67890"], kept=3, most=10).total_bytes == 10
    with pytest.raises(BodyTooLargeError):
        read([b"12345", b"678901"], kept=3, most=10)


def test_an_announced_length_is_refused_before_anything_is_read() -> None:
    with pytest.raises(BodyTooLargeError):
        read([], kept=3, most=10, headers=[(b"content-length", b"11")])
    assert read([b"x"], kept=3, most=10, headers=[(b"content-length", b"10")]).total_bytes == 1


def test_a_client_that_goes_away_ends_the_body() -> None:
    messages: list[Message] = [{"type": "http.request", "body": b"ab", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Message:
        return messages.pop(0)

    body = asyncio.run(read_body({"headers": []}, receive, kept_bytes=9, max_bytes=9))
    assert body == Body(kept=b"ab", total_bytes=2)


@given(st.binary(max_size=80), st.integers(0, 40))
def test_a_body_is_text_if_it_can_be_and_base64_if_not(content: bytes, extra: int) -> None:
    shown = render_body(Body(kept=content, total_bytes=len(content) + extra))
    assert shown["kept_bytes"] == len(content)
    assert shown["truncated"] == (extra > 0)
    if shown["encoding"] == "base64":
        assert base64.b64decode(shown["data"]) == content
        if not extra:
            with pytest.raises(UnicodeDecodeError):
                content.decode()
    else:
        data = shown["data"].encode()
        assert content.startswith(data)
        assert len(content) - len(data) <= (3 if extra else 0)


def test_a_character_cut_by_the_limit_does_not_make_text_binary() -> None:
    whole = "aé".encode()
    assert render_body(Body(kept=whole[:2], total_bytes=3))["data"] == "a"
    assert render_body(Body(kept=whole[:2], total_bytes=2))["encoding"] == "base64"


@given(st.lists(st.tuples(st.text(min_size=1), st.text()).filter(lambda p: "\ud800" not in p[0] + p[1])))
def test_a_query_is_split_in_order_with_duplicates(pairs: list[tuple[str, str]]) -> None:
    raw = "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in pairs)
    assert parse_query(raw.encode()) == [list(pair) for pair in pairs]


def test_odd_queries() -> None:
    assert parse_query(b"") == []
    assert parse_query(b"a&b=&&=c&a+b=%2B+%ff") == [["a", ""], ["b", ""], ["", "c"], ["a b", "+ \ufffd"]]


@given(st.binary(max_size=60), st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=20))))
def test_every_scope_renders_as_json_and_header_bytes_survive(query: bytes, headers: list[tuple[bytes, bytes]]) -> None:
    scope: Scope = {
        "method": "GET",
        "path": "/a b",
        "raw_path": b"/a%20b",
        "query_string": query,
        "http_version": "1.1",
        "headers": headers,
    }
    echo = json.loads(render_echo(scope, Body()))
    assert echo["path"] == "/a%20b"
    assert echo["query"]["raw"].encode("latin-1") == query
    assert [(n.encode("latin-1"), v.encode("latin-1")) for n, v in echo["headers"]] == headers
