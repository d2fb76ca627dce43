"""The settings of the JWT API: defaults, good values, and errors that name the variable."""

from pathlib import Path

import pytest

from services.jwt_api.settings import DEFAULT_HOSTS, Settings, SettingsError, load_settings


def test_an_empty_environment_gives_the_defaults() -> None:
    assert load_settings({}) == Settings(
        key_file=None, ttl_s=300, issuer="http://jwt-api", audience="upstream", subject="envoy", access_log=False
    )


def test_an_empty_value_means_the_default() -> None:
    names = ("KEY_FILE", "TTL_S", "ISSUER", "AUDIENCE", "SUBJECT", "ALLOWED_HOSTS", "ACCESS_LOG")
    assert load_settings({f"JWT_API_{name}": "" for name in names}) == Settings()


def test_every_variable_is_read() -> None:
    settings = load_settings(
        {
            "JWT_API_KEY_FILE": "keys/jwt.jwk",
            "JWT_API_TTL_S": "20",
            "JWT_API_ISSUER": "https://issuer.example",
            "JWT_API_AUDIENCE": "orders",
            "JWT_API_SUBJECT": "müller",
            "JWT_API_ALLOWED_HOSTS": " Jwt.example , [fd00::1],",
            "JWT_API_ACCESS_LOG": "on",
        }
    )
    assert settings == Settings(
        key_file=Path("keys/jwt.jwk"),
        ttl_s=20,
        issuer="https://issuer.example",
        audience="orders",
        subject="müller",
        allowed_hosts=(*DEFAULT_HOSTS, "jwt.example", "[fd00::1]"),
        access_log=True,
    )


def test_what_kubernetes_injects_for_a_service_of_this_name_is_ignored() -> None:
    assert load_settings({"JWT_API_PORT": "tcp://10.0.0.7:80", "JWT_API_SERVICE_HOST": "10.0.0.7"}) == Settings()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("JWT_API_KEY_FILE", "keys/"),
        ("JWT_API_KEY_FILE", ".."),
        ("JWT_API_TTL_S", "0"),
        ("JWT_API_TTL_S", "-1"),
        ("JWT_API_TTL_S", "86401"),
        ("JWT_API_TTL_S", "1.5"),
        ("JWT_API_TTL_S", "5m"),
        ("JWT_API_TTL_S", "٣٠"),
        ("JWT_API_ISSUER", "a\nb"),
        ("JWT_API_AUDIENCE", " upstream"),
        ("JWT_API_SUBJECT", "x" * 257),
        ("JWT_API_ALLOWED_HOSTS", "*"),
        ("JWT_API_ALLOWED_HOSTS", "jwt.example:80"),
        ("JWT_API_ALLOWED_HOSTS", "http://jwt.example"),
        ("JWT_API_ACCESS_LOG", "maybe"),
    ],
)
def test_a_bad_value_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})
