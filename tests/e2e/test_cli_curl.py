"""`sandbox curl`: the forms that curl and httpie have taught everybody, against one running stack."""

import base64
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from stacks import PATIENT_CURL, Sandbox

PRELOADED = PATIENT_CURL


def echo(sandbox: Sandbox, *words: str, send: bytes | None = None) -> dict:
    """What the upstream got."""
    return json.loads(sandbox.run("curl", "-s", *words, send=send).expect(0).stdout)


@pytest.mark.parametrize(
    ("words", "method", "path"),
    [
        (("/a",), "GET", "/a"),
        (("a/b",), "GET", "/a/b"),
        (("DELETE", "/a"), "DELETE", "/a"),
        (("-X", "PUT", "/a"), "PUT", "/a"),
        (("-X", "patch", "/a"), "PATCH", "/a"),
        (("-d", "x", "/a"), "POST", "/a"),
        (("-X", "PUT", "-d", "x", "/a"), "PUT", "/a"),
        (("POST", "/a", "-d", ""), "POST", "/a"),
        (("delete", "/a"), "DELETE", "/a"),
        (("get",), "GET", "/get"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_method_and_path(shared: Sandbox, words: tuple[str, ...], method: str, path: str):
    got = echo(shared, *words)
    assert (got["method"], got["path"]) == (method, path)


def test_a_query_is_passed_on(shared: Sandbox):
    assert echo(shared, "/a?b=1&c=%20d")["query"]["raw"] == "b=1&c=%20d"
    assert echo(shared, "?b=1")["query"]["raw"] == "b=1"


def test_headers_as_words_and_as_options(shared: Sandbox):
    got = echo(shared, "/", "X-Team:red", "-H", "X-Team: blue", "-H", "x-colon: a:b", "x-empty:")
    values = [(name, value) for name, value in got["headers"] if name.startswith("x-") and name[2:] in ("team", "colon", "empty")]
    assert values == [("x-team", "red"), ("x-empty", ""), ("x-team", "blue"), ("x-colon", "a:b")]


def test_a_header_value_goes_out_in_utf_8(shared: Sandbox):
    assert ["x-u", "žluť".encode().decode("latin-1")] in echo(shared, "/", "x-u:žluť")["headers"]


def test_an_address_without_a_scheme_is_an_address(shared: Sandbox):
    ingress = shared.status()["urls"]["ingress"].removeprefix("http://")
    assert echo(shared, f"{ingress}/a?b")["path"] == "/a"
    assert echo(shared, ingress)["path"] == "/"
    assert "is not of this sandbox" in shared.run("curl", "localhost:1/a").expect(2).error


def test_a_content_length_that_is_not_so(shared: Sandbox):
    done = shared.run("curl", "/", "content-length:5", "-d", "abc").expect(2)
    assert done.error == "error: cannot send that request: Too little data for declared Content-Length"


def test_several_bodies_are_joined_as_curl_joins_them(shared: Sandbox):
    assert echo(shared, "/", "-d", "a=1", "-d", "b=2")["body"]["data"] == "a=1&b=2"


def test_an_answer_of_envoys_own_is_told_from_a_missing_token(shared: Sandbox):
    assert "Envoy made it itself" in shared.run("curl", "BREW", "/").expect(0).stdout


def test_bodies_from_the_command_line_a_file_and_standard_input(shared: Sandbox, tmp_path: Path):
    assert echo(shared, "/", "-d", '{"a": 1}')["body"]["data"] == '{"a": 1}'
    file = tmp_path / "body"
    file.write_bytes(b"from a file\n")
    assert echo(shared, "/", "-d", f"@{file}")["body"]["data"] == "from a file\n"
    assert echo(shared, "/", "-d", "@-", send=b"from a pipe")["body"]["data"] == "from a pipe"


def test_a_binary_body_arrives_byte_by_byte(shared: Sandbox, tmp_path: Path):
    content = bytes(range(256)) * 4
    file = tmp_path / "binary"
    file.write_bytes(content)
    body = echo(shared, "/", "-d", f"@{file}")["body"]
    assert body["encoding"] == "base64"
    assert base64.b64decode(body["data"]) == content
    body = echo(shared, "/", "-d", os.fsdecode(b"\xff"))["body"]
    assert base64.b64decode(body["data"]) == b"\xff"


def test_head_has_headers_and_no_body(shared: Sandbox):
    done = shared.run("curl", "-I", "/").expect(0)
    assert "HTTP/1.1 200 OK" in done.stdout
    assert "x-wasm-filter: hello from wasm" in done.stdout
    answer = shared.json("curl", "-I", "/")
    assert (answer["method"], answer["body"]) == ("HEAD", "")


def test_include_prints_head_and_body_as_curl_does(shared: Sandbox):
    process = shared.run("curl", "-i", "/").expect(0)
    head, _, body = process.stdout.partition("\r\n\r\n")
    lines = head.split("\r\n")
    assert lines[0] == "HTTP/1.1 200 OK"
    assert "x-wasm-filter: hello from wasm" in lines
    assert [line for line in lines if line.startswith("x-auth: Bearer eyJ…(ES256, subject envoy, ")]
    assert json.loads(body)["method"] == "GET"


def test_each_header_is_marked_with_who_it_is_from(shared: Sandbox):
    lines = shared.run("curl", "/x?y=1", "x-a:b").expect(0).stdout.splitlines()
    request, answer = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert request[:5] == [
        "GET /x?y=1 HTTP/1.1",
        f"host: 127.0.0.1:{shared.ports['ingress']}  · client",
        "user-agent: sandbox-curl  · client",
        "accept: */*  · client",
        "x-a: b  · client",
    ]
    assert request[5] == "x-forwarded-proto: http  · Envoy"
    assert request[6].startswith("x-request-id: ")
    assert request[6].endswith("  · Envoy")
    assert len(request) == 7
    assert answer[0].startswith("HTTP/1.1 200 OK  (")
    marks = {line.partition(":")[0]: line.rpartition("  ")[2] for line in answer[1 : answer.index("")]}
    marks = {name: mark for name, mark in marks.items() if not name.startswith("  └")}
    assert marks == {
        "date": "· upstream",
        "x-content-type-options": "· upstream",
        "content-length": "· upstream",
        "content-type": "· upstream",
        "x-envoy-upstream-service-time": "· Envoy",
        "x-wasm-filter": "◀ filter",
        "x-auth": "◀ filter",
        "server": "· Envoy",
        "x-request-id": "· Envoy",
    }
    assert re.fullmatch(r"\d+\.\d ms: client \d+\.\d · filter and Envoy \d+\.\d · upstream \d+\.\d", answer[-1])


def test_verbose_shows_what_envoys_log_says(shared: Sandbox):
    assert "Envoy: via_upstream" in shared.run("curl", "-v", "/").expect(0).stdout


def test_silent_is_the_body_and_nothing_else(shared: Sandbox):
    done = shared.run("curl", "-s", "/").expect(0)
    assert json.loads(done.stdout)["path"] == "/"
    assert done.stderr == ""


def test_output_into_a_file(shared: Sandbox, tmp_path: Path):
    file = tmp_path / "out"
    done = shared.run("curl", "/", "-o", str(file)).expect(0)
    assert json.loads(file.read_bytes())["path"] == "/"
    assert done.stdout == ""
    missing = tmp_path / "no" / "folder" / "out"
    assert str(missing) in shared.run("curl", "/", "-o", str(missing)).expect(3).error


def test_output_as_json_holds_the_whole_exchange(shared: Sandbox):
    answer = shared.json("curl", "POST", "/p", "-d", "x")
    assert (answer["method"], answer["status"], answer["reason"], answer["http_version"]) == ("POST", 200, "OK", "HTTP/1.1")
    assert answer["url"] == f"http://127.0.0.1:{shared.ports['ingress']}/p"
    assert [change["name"] for change in answer["exchange"]["response"]["changes"]] == ["x-wasm-filter", "x-auth"]
    assert answer["exchange"]["id"] == dict(answer["headers"])["x-request-id"]
    assert answer["timing"]["upstream_s"] < answer["timing"]["total_s"]
    assert answer["timing"]["details"] == "via_upstream"
    assert answer["token"]["subject"] == "envoy"
    assert answer["token"]["verified"] is True
    assert json.loads(answer["body"])["body"]["data"] == "x"


def test_the_filters_headers_are_marked_and_the_token_is_shortened(shared: Sandbox):
    lines = shared.run("curl", "/").expect(0).stdout.splitlines()
    assert "x-wasm-filter: hello from wasm  ◀ filter" in lines
    [token] = [line for line in lines if line.startswith("x-auth: ")]
    assert token.endswith("…  ◀ filter")
    assert "signature verified" in "\n".join(lines)


def test_bypass_goes_around_the_filter(shared: Sandbox):
    done = shared.run("curl", "--bypass", "-i", "/").expect(0)
    assert "x-wasm-filter" not in done.stdout
    assert "HTTP/1.1 200 OK" in done.stdout


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_whole_url_of_this_sandbox_is_taken(shared: Sandbox, host: str):
    assert echo(shared, f"http://{host}:{shared.ports['ingress']}/whole?q=1")["path"] == "/whole"


def test_a_whole_url_of_the_bypass_goes_there(shared: Sandbox):
    answer = shared.json("curl", f"http://localhost:{shared.ports['bypass']}/x")
    assert answer["url"] == f"http://127.0.0.1:{shared.ports['bypass']}/x"
    assert "x-wasm-filter" not in dict(answer["headers"])


def test_a_whole_url_of_the_console_is_refused(shared: Sandbox):
    assert "is not of this sandbox" in shared.run("curl", f"http://localhost:{shared.ports['console']}/stats").expect(2).error


def test_a_url_inside_of_a_query_is_none_of_ours(shared: Sandbox):
    assert echo(shared, "/a?to=http://example.com/")["query"]["raw"] == "to=http://example.com/"


@pytest.mark.parametrize("url", ["http://example.com/", "http://127.0.0.1:1/", "http://127.0.0.1:http/", "http://[::1/"])
def test_a_url_of_elsewhere_is_refused(shared: Sandbox, url: str):
    done = shared.run("curl", url).expect(2)
    assert url in done.error


@pytest.mark.parametrize(
    "words",
    [("/", "-H", "bad name: x"), ("/", "x-a:b\r\nx-c:d"), ("/a b", "-X", "G T"), ("/", "x-ü:1")],
)
def test_a_request_that_cannot_be_sent(shared: Sandbox, words: tuple[str, ...]):
    done = shared.run("curl", *words).expect(2)
    assert done.error.startswith("error: ")
    assert "Traceback" not in done.stderr


def test_an_error_status_is_an_answer(shared: Sandbox):
    answer = shared.json("curl", "/status/503")
    assert answer["status"] == 503
    assert dict(answer["headers"])["x-wasm-filter"] == "hello from wasm"


def test_tokens_in_full_for_who_asks(shared: Sandbox):
    token = re.search(r"x-auth: Bearer (\S+)", shared.run("curl", "-i", "--show-secrets", "/").expect(0).stdout)[1]
    assert token.count(".") == 2
    marked = re.search(r"x-auth: Bearer (\S+)  ◀ filter", shared.run("curl", "--show-secrets", "/").expect(0).stdout)[1]
    assert marked.count(".") == 2  # a later token, it may be
    for words in ((), ("-i",), ("-s",), ("-o", "json"), ("--diff",), ("-v",), ("--repeat", "2")):
        done = shared.run("curl", *words, "/", f"x-other: Bearer {token}").expect(0)
        assert token.split(".")[2] not in done.stdout
    for words in ((), ("-i",), ("-o", "json"), ("-v",), ("--repeat", "2")):
        assert "s3cr3t" not in shared.run("curl", "-I", *words, "/", "authorization: ApiKey s3cr3t").expect(0).stdout


@pytest.mark.parametrize(
    "words",
    [("--diff", "-o", "json"), ("--diff", "--bypass"), ("-v", "--repeat", "2"), ("-o", "file", "-i"), ("--as-curl", "-s")],
)
def test_flags_that_say_two_things_are_refused(shared: Sandbox, words: tuple[str, ...]):
    assert "do not go together" in shared.run("curl", *words, "/").expect(2).error


def test_the_command_for_curl_is_one_that_curl_takes(shared: Sandbox):
    words = ("PUT", "/a?b=c d", "x-a:it's", "x-empty:", "-d", 'two\n"lines"')
    line = shared.run("curl", "--as-curl", *words).expect(0).stdout
    done = subprocess.run([*shlex.split(line), "-s"], capture_output=True, text=True, check=True)
    got = json.loads(done.stdout.partition("\n\n")[2])
    assert (got["method"], got["body"]["data"]) == ("PUT", 'two\n"lines"')
    assert ["x-a", "it's"] in got["headers"]
    assert ["x-empty", ""] in got["headers"]


def test_both_ways_side_by_side(shared: Sandbox):
    lines = shared.run("curl", "--diff", "/").expect(0).stdout.splitlines()
    assert lines[0].split() == ["WITH", "THE", "FILTER", "WITHOUT"]
    assert [line.split()[0] for line in lines[1:3]] == ["x-wasm-filter", "x-auth"]
    assert re.fullmatch(r"the body is the same, \d+ bytes", lines[3])


def test_a_value_in_utf_8_is_shown_as_it_is(shared: Sandbox):
    done = shared.run("curl", "/response-headers?x-b=caf%C3%A9").expect(0)
    assert "x-b: café  · upstream" in done.stdout
    assert "x-b: café" in shared.run("curl", "-i", "/response-headers?x-b=caf%C3%A9").expect(0).stdout


def test_a_body_is_what_came_whatever_its_headers_say(shared: Sandbox):
    assert json.loads(shared.run("curl", "-s", "/response-headers?content-encoding=gzip").expect(0).stdout)


def test_head_in_silence_has_the_headers_as_curl_has_them(shared: Sandbox):
    assert shared.run("curl", "-I", "-s", "/").expect(0).stdout.startswith("HTTP/1.1 200 OK\r\n")


def test_a_request_that_envoy_refuses_is_shown_as_it_was_sent(shared: Sandbox):
    lines = shared.run("curl", "/", "x-a:b", f"x-large:{'x' * 70_000}").expect(0).stdout.splitlines()
    assert "x-a: b  · client" in lines
    assert [line for line in lines if line.startswith("HTTP/1.1 431")]


def test_a_status_can_be_checked(shared: Sandbox):
    shared.run("curl", "--check-status", "/status/204").expect(0)
    shared.run("curl", "--check-status", "/status/404").expect(7)
    shared.run("curl", "--check-status", "-s", "/status/503").expect(7)


def test_many_times_a_line_each(shared: Sandbox):
    lines = shared.run("curl", "--repeat", "3", "/").expect(0).stdout.splitlines()
    assert [re.sub(r"\d+\.\d ms", "N ms", " ".join(line.split())) for line in lines[:3]] == [
        f"{number} 200 N ms ← +x-wasm-filter +x-auth" for number in (1, 2, 3)
    ]
    assert lines[3].startswith("3 requests: 200 ×3 · ")
    assert len(shared.run("curl", "--repeat", "2", "-o", "json", "/").expect(0).stdout.splitlines()) == 2


def test_a_large_body_is_cut_on_the_screen_and_whole_in_a_file(shared: Sandbox, tmp_path: Path):
    shown = shared.run("curl", "/bytes/200000?seed=1", "-o", str(tmp_path / "body")).expect(0)
    assert shown.stdout == ""
    assert (tmp_path / "body").stat().st_size == 200_000
    assert "[200000 bytes, not text: use -s or -o FILE]" in shared.run("curl", "/bytes/200000").expect(0).stdout


def test_a_way_around_the_filter_has_no_mark_of_it(shared: Sandbox):
    lines = shared.run("curl", "--bypass", "/").expect(0).stdout
    assert "filter" not in lines.partition("{")[0]
    assert "server: envoy  · Envoy" in lines
    assert "content-type: application/json  · upstream" in lines
