"""A token that the JWT API really issued gets into no sink, whatever stands around it."""

import io
import json
import time
from dataclasses import asdict, replace
from types import MappingProxyType
from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from rich.console import Console

from sandbox.cli.crash import report_bug
from sandbox.errors import SandboxError
from sandbox.events.exchange import Answer, Timing
from sandbox.events.stack import LogRecord, Ready
from sandbox.events.status import Check
from sandbox.observe.exchange import Exchange, hide_secrets, make_way
from sandbox.observe.redact import redact, redact_header, redact_headers, redact_json
from sandbox.observe.token import decode_token
from sandbox.session.doctor.base import OK
from sandbox.session.doctor.facts import Facts
from sandbox.session.doctor.run import run_doctor
from sandbox.view.answer import answer_as_json, render_answer, render_head, render_short
from sandbox.view.body import BodyView, PlainBody
from sandbox.view.comparison import render_comparison
from sandbox.view.errors import render_error
from sandbox.view.hide import hide_answer
from sandbox.view.logs import record_as_json, render_record
from sandbox.view.steps import render_ready
from services.jwt_api.keys import make_key
from services.jwt_api.settings import Settings
from services.jwt_api.tokens import issue_token

KEY = make_key()
SETTINGS = Settings()
TOKEN = issue_token(SETTINGS, KEY).token
PIECE = 12
"""So many characters of a signature in a row are too many."""


def escaped(token):
    return "".join(char if char.isalnum() else f"%{ord(char):02X}" for char in token)


SPELLINGS = MappingProxyType(
    {
        "plain": lambda token: token,
        "bearer": lambda token: f"Bearer {token}",
        "header": lambda token: f"x-auth: bearer {token}",
        "percent": lambda token: quote(f"Bearer {token}"),
        "percent-all": lambda token: "authorization%3DBearer%20" + escaped(token),
        "percent-twice": lambda token: quote(escaped(token)),
        "json": lambda token: json.dumps({"authorization": f"Bearer {token}"}),
        "json-in-json": lambda token: json.dumps(json.dumps([["x-auth", token]])),
        "json-dots": lambda token: token.replace(".", "\\u002e").replace("-", "\\u002D").replace("_", "\\u005f"),
        "unsigned too": lambda token: f"{token.rpartition('.')[0]}. {token}",
        "twice": lambda token: token + token,
    }
)
spelled = st.sampled_from([*SPELLINGS.values()]).map(lambda spell: spell(TOKEN))
around = st.text() | st.text(alphabet="eyJ.%25E\\u002- Bearer=:\"'…(){},\n\x1b", max_size=30)


def kept(text):
    """The pieces of the signature, plain or escaped, that `text` still has."""
    signature = TOKEN.rpartition(".")[2]
    wholes = (signature, escaped(signature), quote(escaped(signature)), SPELLINGS["json-dots"](signature))
    return [whole[i : i + PIECE] for whole in wholes for i in range(len(whole) - PIECE + 1) if whole[i : i + PIECE] in text]


def printed(renderable):
    file = io.StringIO()
    Console(file=file, highlight=False, markup=False, emoji=False, soft_wrap=True, width=4000).print(renderable)
    return file.getvalue()


def dumped(value):
    return json.dumps(value, ensure_ascii=False)


@given(around, spelled, around)
@example("eyJ", TOKEN, "")
@example("eyJa.", TOKEN, ".")
@example("eyJ%2", TOKEN, "")
@example("Bearer eyJ…", TOKEN, "")
@example("Bearer realm=", TOKEN, "")
@example("Basic ", TOKEN, "\\")
def test_no_token_gets_through(before, token, after):
    shown = redact(before + token + after)
    assert "eyJ…" in shown or " …" in shown or "%20…" in shown or "+…" in shown
    assert not kept(shown)
    assert redact(shown) == shown


@given(around, spelled, around, st.sampled_from(["envoy", "jwt-api"]), st.sampled_from(["", "wasm log f f f: "]))
def test_no_token_gets_into_the_log(before, token, after, service, prefix):
    said = before + token + after
    lines = (
        said,
        dumped({"ts": "2026-11-22T20:31:49.408+00:00", "lvl": "info", "logger": "wasm", "msg": prefix + said}),
        dumped({"access": "ingress", "method": "GET", "path": said, "status": 200, "flags": None, "ms": 1}),
        f"2026-11-22T20:15:01.123Z INFO {service} {said}",
    )
    for line in lines:
        record = LogRecord(time_s=0.0, service=service, line=line)
        assert not kept(printed(render_record(record)))
        assert not kept(dumped(record_as_json(record)))
        assert not kept(redact(line))


@given(around, spelled, around)
def test_no_token_gets_into_an_error_or_a_crash_file(tmp_path_factory, before, token, after):
    said = before + token + after
    error = SandboxError(said, details=f"one\n{said}", hint=said)
    assert not kept(printed(render_error(error)))
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.getbasetemp() / "crashes"
        patch.setenv("SANDBOX_STATE_DIR", str(folder))
        try:
            try:
                raise KeyError(said)
            except KeyError as cause:
                raise RuntimeError(said) from cause
        except RuntimeError as bug:
            assert not kept(report_bug(bug))
        [file] = folder.glob("*/crashes/bug-*.txt")
        text = file.read_text(encoding="utf-8")
        assert "RuntimeError" in text
        assert not kept(text)
        file.unlink()


def test_no_token_gets_into_a_doctors_report(monkeypatch, tmp_path):
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path))

    def check_everything(_: Facts) -> Check:
        return Check(name="everything", state=OK, detail=f"found Bearer {TOKEN}", fix=f"try '{TOKEN}'")

    monkeypatch.setattr("sandbox.session.doctor.run.CHECKS", (check_everything,))
    [found] = run_doctor()
    assert not kept(f"{found}")
    assert found.detail.startswith("found Bearer eyJ…(ES256, subject envoy, ")


def test_the_proof_of_up_tells_of_its_token_and_does_not_hold_it():
    token = decode_token(f"Bearer {TOKEN}", None)
    ready = Ready(
        engine="local",
        ingress_url="http://127.0.0.1:1",
        bypass_url="http://127.0.0.1:2",
        console_url="http://127.0.0.1:3",
        envoy_version="1.40.0",
        module="tinygo",
        module_sha256="0" * 64,
        headers=(("x-wasm-filter", "hello from wasm"), ("x-auth", f"Bearer {TOKEN}")),
        token=token,
        already=False,
        elapsed_s=1.0,
    )
    assert not kept(printed(render_ready(ready)))
    value = redact_json(asdict(ready))
    assert not kept(dumped(value))
    assert value["headers"][0] == ["x-wasm-filter", "hello from wasm"]
    assert value["token"]["value"].startswith("Bearer eyJ…(ES256, subject envoy, ")


@given(around, spelled, around)
def test_no_token_gets_into_an_answer(before, token, after):
    said = before + token + after
    way = make_way((("x-a", said), ("gone", said), (said, "")), (("x-a", said + "!"), ("x-b", said), (said, "1")))
    exchange = Exchange(
        id=said,
        time_s=0.0,
        method="GET",
        path=said,
        status=200,
        duration_ms=1.0,
        request=way,
        response=way,
        answered_by="upstream",
        trapped=False,
    )
    answer = Answer(
        method="GET",
        url=f"http://127.0.0.1:1/{said}",
        http_version="HTTP/1.1",
        status=200,
        reason=said,
        request_headers=((said, said),),
        headers=(("authorization", said), (said, said)),
        elapsed_s=0.1,
        exchange=exchange,
        unseen_because=said,
        filtered=True,
        token=decode_token(said, None),
        no_token_because=said,
    )
    timing = Timing(total_s=0.1, client_s=None, envoy_s=None, upstream_s=None, details=None)
    body = said.encode(errors="replace")
    other = replace(answer, headers=())
    hidden = hide_answer(answer)
    assert not kept(printed(render_answer(hidden)))
    assert not kept(printed(render_answer(replace(hidden, exchange=None))))
    assert not kept(printed(render_short(1, hidden, timing)))
    assert not kept(render_head(hidden).decode(errors="replace"))
    assert not kept(dumped(redact_json(answer_as_json(hidden, body, timing))))
    assert not kept(printed(render_comparison(answer, body, other, b"x", secrets=False)))
    for view in (BodyView("text/plain", secrets=False), BodyView("text/event-stream", secrets=False)):
        assert not kept("".join(printed(text) for text in (view.feed(body), view.end()) if text))
    plain = PlainBody(secrets=False)
    assert not kept((plain.feed(body[:50]) + plain.feed(body[50:]) + plain.end()).decode(errors="replace"))
    exchange = Exchange(
        id=said, time_s=0.0, method="GET", path=said, status=200, duration_ms=1.0, answered_by="upstream", trapped=False,
        request=make_way(((said, said),), (("x-a", said),)), response=None,
    )  # fmt: skip
    assert not kept(dumped(asdict(hide_secrets(exchange))))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | around,
    lambda inner: st.lists(inner) | st.dictionaries(around, inner) | st.tuples(around, inner),
    max_leaves=10,
)


@given(JSON, spelled, st.sampled_from(["authorization", "x"]))
def test_no_token_gets_into_json(value, token, name):
    value = {"a": value, name: [value, token, {token: token}, [name, token], (name, token)]}
    assert not kept(dumped(redact_json(value)))


def test_json_that_is_nested_without_end_ends():
    value = []
    for _ in range(5000):
        value = [value, TOKEN]
    assert not kept(dumped(redact_json(value)))


@given(st.text())
def test_a_text_without_secrets_is_as_it_was(text):
    if not any(word in text.lower() for word in ("eyj", "bearer", "basic")):
        assert redact(text) is text
    assert redact(redact(text)) == redact(text)


@pytest.mark.parametrize(
    ("seconds", "words"), [(252.5, "4 min 12 s left"), (30.5, "30 s left"), (-9.5, "expired 10 s ago"), (-5.5, "expired 6 s ago")]
)
def test_what_is_told_of_a_token(seconds, words):
    token = issue_token(SETTINGS, KEY, now_s=time.time() + seconds - SETTINGS.ttl_s).token
    told = redact(f"it was Bearer {token}.")
    assert told.startswith("it was Bearer eyJ…(ES256, subject envoy, ")
    assert told.endswith(").")
    assert words.split()[-1] in told


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Bearer opaque", "Bearer …"),
        ("Basic dXNlcjpwYXNz", "Basic …"),
        ("authorization: Basic YTpi and more", "authorization: Basic … and more"),
        ("'authorization', 'bearer opaque'", "'authorization', 'bearer …'"),
        ("sent BEARER a1b2c3.", "sent BEARER …"),
        ("Authorization=Bearer%20a%2Fb&x=1", "Authorization=Bearer%20…&x=1"),
        ("eyJhbGciOiJub25lIn0.bm9uc2Vuc2U.xx,", "eyJ…,"),
        ("Basic authentication is no Bearer token.", "Basic authentication is no Bearer token."),
        ("Authorization: Bearer <token>", "Authorization: Bearer <token>"),
        ('www-authenticate: Bearer realm="x"', 'www-authenticate: Bearer realm="x"'),
        ("keyJson.first.second and eyJ", "keyJson.first.second and eyJ"),
    ],
)
def test_credentials_and_what_is_none(text, shown):
    assert redact(text) == shown


def test_what_a_token_says_of_itself_does_no_harm():
    import jwt

    claims = {"sub": f'"\x1b[2J\n{TOKEN}' + "x" * 1000, "exp": 10**30}
    said = redact(jwt.encode(claims, "k" * 32, "HS256", headers={"alg": "HS256", "kid": "k"}))
    assert said.isprintable()
    assert '"' not in said
    assert len(said) < 120
    assert not kept(said)


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("authorization", "Token abc", "Token …"),
        ("Proxy-Authorization", "abc", "…"),
        ("authorization", "", ""),
        ("authorization", "Token …", "Token …"),
        ("authorization", f"Token {TOKEN}", "Token eyJ…"),
        ("x-a", "Token abc", "Token abc"),
    ],
)
def test_an_authorization_header_is_secret_whatever_its_scheme(name, value, shown):
    assert redact_header(name, value).startswith(shown)
    assert "abc" not in redact_header(name, value) or name == "x-a"
    assert redact_headers(((name, value),)) == ((name, redact_header(name, value)),)


def test_secrets_are_shown_where_that_is_asked_for():
    record = LogRecord(time_s=0.0, service="upstream", line=TOKEN)
    assert TOKEN in printed(render_record(record, secrets=True))
    assert record_as_json(record, secrets=True)["text"] == TOKEN


@pytest.mark.parametrize(
    "text",
    [
        "eyJ" * 350_000,
        "eyJaaaaaaaaaaaaaaaaaaaa." * 45_000,
        "Bearer " * 150_000,
        "Bearer " + "\\" * 1_000_000,
        "eyJ" + "%25" * 350_000,
    ],
    ids=["heads", "parts", "schemes", "backslashes", "percents"],
)
def test_a_line_of_a_megabyte_takes_no_longer_than_its_length(text):
    """Quadratic would be minutes, which is the suite's limit."""
    assert len(redact(text)) <= len(text)
