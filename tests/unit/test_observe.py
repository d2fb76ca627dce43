import base64
import json
import time

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from sandbox.observe.envoy_log import configuration_error, parse_envoy_line, refusal
from sandbox.observe.log_line import parse_service_line
from sandbox.observe.token import decode_token, describe_life


def envoy_line(**fields):
    return json.dumps(
        {"ts": "2026-11-22T20:31:49.408+00:00", "lvl": "info", "logger": "main", "tid": "1", "src": "a.cc:1"} | fields
    )


def test_a_line_of_envoy():
    line = parse_envoy_line(envoy_line(lvl="warning", logger="config", msg="hello [/admin]"))
    assert (line.level, line.component, line.text, line.plugin) == ("warning", "config", "hello [/admin]", "")
    assert line.time_s == 1795379509.408


@pytest.mark.parametrize(
    "message", ["wasm log token_injector token_injector token_injector: hi: there", "wasm log token_injector: hi: there"]
)
def test_a_line_of_the_filter_stands_apart(message):
    line = parse_envoy_line(envoy_line(logger="wasm", msg=message))
    assert (line.plugin, line.text) == ("token_injector", "hi: there")


def test_a_line_of_the_access_log():
    line = parse_envoy_line('{"access":"ingress","method":"GET","path":"/a","status":200,"flags":null,"ms":3}')
    assert (line.level, line.component, line.text) == ("access", "ingress", "GET /a 200 - 3 ms")


def test_a_line_of_a_service():
    line = parse_service_line("2026-11-22T20:15:01.123Z INFO jwt-api listening on http://127.0.0.1:1")
    assert (line.level, line.text) == ("info", "listening on http://127.0.0.1:1")
    assert parse_service_line("Traceback (most recent call last):").text == "Traceback (most recent call last):"


@given(st.text())
def test_parsers_never_raise(text):
    assert parse_envoy_line(text).text is not None
    assert parse_service_line(text).text is not None
    assert decode_token(text, None) is None or text.count(".") == 2
    configuration_error([text])
    refusal([text])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


def encode(text):
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def token_of(header, claims):
    return f"{encode(header)}.{encode(claims)}.c2ln"


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("alg", "kid", "crit", "b64"), JSON)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(("sub", "iss", "exp"), JSON)),
    JSON,
)
def test_any_token_is_judged(header, claims, jwks):
    token = decode_token(token_of(json.dumps(header), json.dumps(claims)), {"keys": jwks})
    assert token.verified is False
    assert describe_life(token.expires_in_s)
    f"{token.algorithm}{token.key_id}{token.subject}{token.issuer}{token.problem}".encode()


@pytest.mark.parametrize("exp", ["1e999", "-1e999", "NaN", "9" * 400, '"soon"', "null"])
def test_an_expiry_that_is_no_time_is_none(exp):
    token = decode_token(token_of('{"alg": "ES256"}', f'{{"exp": {exp}}}'), {})
    assert (token.expires_in_s, token.verified) == (None, False)
    assert token.problem


def test_a_token_that_is_nested_without_end_is_none():
    assert decode_token(token_of("[" * 100_000, "{}"), None) is None
    assert decode_token(token_of('{"kid":' * 100_000, "{}"), {}) is None


@pytest.mark.parametrize("seconds", [float("inf"), float("-inf"), float("nan")])
def test_a_life_that_is_no_number_is_told_all_the_same(seconds):
    assert describe_life(seconds) == "never expires"


@given(st.recursive(st.none() | st.booleans() | st.floats() | st.text(), lambda inner: st.dictionaries(st.text(), inner)))
def test_any_json_is_a_line(value):
    assert isinstance(parse_envoy_line(json.dumps(value)).text, str)


def test_what_envoy_took_is_no_error():
    assert configuration_error([envoy_line(msg="starting main dispatch loop")]) is None


def test_the_filters_own_words_come_before_envoys():
    lines = [
        envoy_line(logger="wasm", lvl="critical", msg='wasm log p r v: configuration: "tikc": unknown key'),
        envoy_line(logger="wasm", lvl="error", msg="Wasm VM failed Failed to configure base Wasm plugin"),
        envoy_line(logger="wasm", lvl="critical", msg="Plugin configured to fail closed failed to load"),
        envoy_line(logger="config", lvl="warning", src="filesystem_subscription_impl.cc:1", msg="Unable to create Wasm plugin"),
    ]
    assert refusal(lines) == 'configuration: "tikc": unknown key'
    assert refusal(lines[1:]) == "Wasm VM failed Failed to configure base Wasm plugin"
    assert refusal(lines[3:]) == "Unable to create Wasm plugin"
    rejected = "Filesystem config update rejected: Invalid path: m.wasm"
    assert refusal([envoy_line(logger="config", lvl="warning", src="filesystem_subscription_impl.cc:1", msg=rejected)]) == (
        "Invalid path: m.wasm"
    )


def test_what_the_parked_filter_says_is_no_reason():
    said = [
        envoy_line(logger="wasm", lvl="critical", msg="wasm log parked_a r v: cannot call"),
        envoy_line(logger="wasm", lvl="error", msg="Attempted call to restricted proxy-wasm capability: proxy_http_call"),
    ]
    assert refusal(said) is None
    assert refusal([]) is None
    source = "filesystem_subscription_impl.cc:1"
    said += [
        envoy_line(logger="wasm", lvl="error", msg="Wasm VM failed Failed to configure base Wasm plugin"),
        envoy_line(logger="config", lvl="warning", src=source, msg="Unable to create Wasm plugin parked_a"),
    ]
    assert refusal(said) is None
    said += [
        envoy_line(logger="wasm", lvl="error", msg="Failed to load Wasm bytecode"),
        envoy_line(logger="config", lvl="warning", src=source, msg="Unable to create Wasm plugin token_injector"),
    ]
    assert refusal(said) == "Failed to load Wasm bytecode"


@pytest.fixture(scope="module")
def key():
    return ec.generate_private_key(ec.SECP256R1())


def jwks_of(key):
    return {"keys": [json.loads(jwt.algorithms.ECAlgorithm.to_jwk(key.public_key())) | {"kid": "k"}]}


def issue(key, **claims):
    return jwt.encode({"sub": "envoy", "iss": "i", "exp": time.time() + 60} | claims, key, "ES256", headers={"kid": "k"})


def test_a_token_signed_by_another_library_verifies(key):
    token = decode_token(f"Bearer {issue(key)}", jwks_of(key))
    assert (token.algorithm, token.subject, token.verified, token.problem) == ("ES256", "envoy", True, "")
    assert 50 < token.expires_in_s <= 60


def test_a_token_of_another_key_does_not(key):
    other = ec.generate_private_key(ec.SECP256R1())
    token = decode_token(issue(other), jwks_of(key))
    assert (token.verified, "BadSignature" in token.problem) == (False, True)


def test_an_expired_token_is_still_its_signers(key):
    token = decode_token(issue(key, exp=time.time() - 5), jwks_of(key))
    assert token.verified is True
    assert token.expires_in_s < 0


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_weak_algorithm_is_never_verified(key, algorithm):
    part = [
        base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode() for value in ({"alg": algorithm}, {"sub": "x"})
    ]
    assert decode_token(".".join([*part, ""]), jwks_of(key)).verified is False


@pytest.mark.parametrize("value", ["", "Bearer ", "opaque", "a.b.c", "Basic dXNlcg==", "..", "W10.W10.x"])
def test_what_is_no_token(value):
    assert decode_token(value, None) is None


def test_a_token_keeps_itself_out_of_its_repr(key):
    text = issue(key)
    assert text not in repr(decode_token(text, None))
