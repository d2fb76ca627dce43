"""The console's settings: defaults, and what is refused by name."""

from pathlib import Path

import pytest

from sandbox.console.settings import DEFAULT_HOSTS, Settings, load_settings
from sandbox.errors import ConfigError


def test_nothing_given() -> None:
    assert load_settings({}) == Settings()
    assert load_settings({"CONSOLE_ADMIN_SOCKET": "", "CONSOLE_JWT_API_URL": "", "CONSOLE_TOKEN_FILE": ""}) == Settings()
    assert Settings().admin_socket == "admin/envoy.sock"
    assert Settings().jwt_api_url == "http://jwt-api:8081"
    assert Settings().upstream_url == "http://upstream:8082"


def test_everything_given() -> None:
    settings = load_settings(
        {
            "CONSOLE_ADMIN_SOCKET": "a.sock",
            "CONSOLE_JWT_API_URL": "http://127.0.0.1:1/",
            "CONSOLE_UPSTREAM_URL": "http://[::1]:2",
            "CONSOLE_TOKEN_FILE": "/t",
            "CONSOLE_ALLOWED_HOSTS": "Sandbox.example, [fd00::1] ,",
            "CONSOLE_PORT": "tcp://10.0.0.1:9901",
        }
    )
    assert settings == Settings(
        admin_socket="a.sock",
        jwt_api_url="http://127.0.0.1:1",
        upstream_url="http://[::1]:2",
        token_file=Path("/t"),
        allowed_hosts=(*DEFAULT_HOSTS, "sandbox.example", "[fd00::1]"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSOLE_JWT_API_URL", "jwt-api:8081"),
        ("CONSOLE_JWT_API_URL", "https://jwt-api:8081"),
        ("CONSOLE_UPSTREAM_URL", "http://upstream/path"),
        ("CONSOLE_UPSTREAM_URL", "http://user@upstream"),
        ("CONSOLE_UPSTREAM_URL", "http://"),
        ("CONSOLE_ALLOWED_HOSTS", "*"),
        ("CONSOLE_ALLOWED_HOSTS", "http://a"),
        ("CONSOLE_ALLOWED_HOSTS", "a:80"),
        ("CONSOLE_ADMIN_SOCKET", "a" * 104),
    ],
)
def test_what_cannot_be_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=name):
        load_settings({name: value})
