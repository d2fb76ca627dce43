"""The JWT API over ASGI: tokens that an independent library verifies, and the gate before every route."""

import logging
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import jwt
import pytest
from fastapi.testclient import TestClient

from services.jwt_api.app import create_app
from services.jwt_api.settings import Settings

PATHS = ("/auth", "/.well-known/jwks.json", "/healthz", "/openapi.json", "/nowhere")


@pytest.fixture
def client(tmp_path: Path) -> Iterator[TestClient]:
    settings = Settings(key_file=tmp_path / "keys" / "k.jwk", ttl_s=20, issuer="http://i", audience="a", subject="s")
    with TestClient(create_app(settings), base_url="http://localhost:8081") as client:
        yield client


def verified(client: TestClient) -> dict[str, object]:
    scheme, _, token = client.get("/auth").headers["authorization"].partition(" ")
    assert scheme == "Bearer"
    header = jwt.get_unverified_header(token)
    keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    assert header == {"typ": "JWT", "alg": "ES256", "kid": header["kid"]}
    options: jwt.types.Options = {"require": ["iss", "sub", "aud", "iat", "exp", "jti"]}
    return dict(jwt.decode(token, keys[header["kid"]], ["ES256"], options=options, audience="a", issuer="http://i"))


def test_a_token_verifies_against_the_jwks(client: TestClient) -> None:
    claims = verified(client)
    assert set(claims) == {"iss", "sub", "aud", "iat", "exp", "jti"}
    assert claims["sub"] == "s"
    assert isinstance(claims["iat"], int)
    assert isinstance(claims["exp"], int)
    assert claims["exp"] - claims["iat"] == 20
    assert abs(claims["iat"] - time.time()) < 5


def test_every_token_is_another_one(client: TestClient) -> None:
    assert verified(client)["jti"] != verified(client)["jti"]


def test_a_changed_token_does_not_verify(client: TestClient) -> None:
    one, other = (client.get("/auth").headers["authorization"].removeprefix("Bearer ").split(".") for _ in range(2))
    keys = jwt.PyJWKSet.from_dict(client.get("/.well-known/jwks.json").json())
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(".".join([*one[:2], other[2]]), keys.keys[0], ["ES256"], audience="a")


def test_the_body_tells_about_the_token_and_not_the_token(client: TestClient) -> None:
    answer = client.get("/auth")
    token = answer.headers["authorization"].removeprefix("Bearer ")
    facts = answer.json()
    claims = jwt.decode(token, options={"verify_signature": False})
    assert not any(part in answer.text for part in token.split("."))
    assert (facts["subject"], facts["issuer"], facts["audience"]) == ("s", "http://i", "a")
    assert facts["token_id"] == claims["jti"]
    assert facts["expires_in_s"] == 20
    assert datetime.fromisoformat(facts["expires_at"]).timestamp() == claims["exp"]
    assert answer.headers["cache-control"] == "no-store"


def test_the_jwks_has_the_public_part_only_and_may_be_cached(client: TestClient) -> None:
    answer = client.get("/.well-known/jwks.json")
    (key,) = answer.json()["keys"]
    assert set(key) == {"kty", "crv", "x", "y", "use", "alg", "kid"}
    assert answer.headers["cache-control"] == "public, max-age=60"


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"host": "evil.example"}, 421),
        ({"host": "localhost:8081:1"}, 400),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
    ],
)
def test_forged_requests_get_a_reason_and_nothing_else(
    client: TestClient, path: str, headers: dict[str, str], status: int
) -> None:
    answer = client.get(path, headers=headers)
    assert answer.status_code == status
    assert list(answer.json()) == ["error"]
    assert "authorization" not in answer.headers


def test_an_added_host_is_served() -> None:
    settings = Settings(allowed_hosts=("jwt.example",))
    with TestClient(create_app(settings), base_url="http://jwt.example:9") as client:
        assert client.get("/healthz").json() == {"status": "ok"}


def test_errors_are_json_too(client: TestClient) -> None:
    assert client.get("/nowhere").json() == {"error": "Not Found"}
    answer = client.post("/auth")
    assert answer.status_code == 405
    assert answer.headers["allow"] == "GET"
    assert answer.json() == {"error": "Method Not Allowed"}
    assert client.get("/docs").status_code == 404


def test_no_token_and_no_key_reaches_the_log(client: TestClient, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    token = client.get("/auth").headers["authorization"].removeprefix("Bearer ")
    assert token.split(".")[2] not in caplog.text
    assert (tmp_path / "keys" / "k.jwk").exists()


def test_the_description_explains_every_answer(client: TestClient) -> None:
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/auth", "/.well-known/jwks.json", "/healthz"}
    for path in schema["paths"].values():
        assert set(path["get"]["responses"]) == {"200", "400", "403", "421"}
        assert path["get"]["summary"]
        assert path["get"]["description"]
    assert "authorization" in schema["paths"]["/auth"]["get"]["responses"]["200"]["headers"]
