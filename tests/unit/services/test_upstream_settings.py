"""The settings of the upstream."""

import pytest

from services.upstream.settings import Settings, SettingsError, load_settings


def test_an_empty_environment_or_empty_values_give_the_defaults() -> None:
    assert load_settings({}) == Settings(kept_bytes=65_536, max_body_bytes=67_108_864, access_log=False)
    empty = {"UPSTREAM_KEPT_BYTES": "", "UPSTREAM_MAX_BODY_BYTES": "", "UPSTREAM_ACCESS_LOG": ""}
    assert load_settings(empty) == Settings()


def test_every_variable_is_read_and_what_kubernetes_injects_is_ignored() -> None:
    environ = {"UPSTREAM_KEPT_BYTES": "0", "UPSTREAM_MAX_BODY_BYTES": "9", "UPSTREAM_ACCESS_LOG": "YES"}
    injected = {"UPSTREAM_PORT": "tcp://10.0.0.7:80"}
    assert load_settings(environ | injected) == Settings(kept_bytes=0, max_body_bytes=9, access_log=True)


@pytest.mark.parametrize("name", ["UPSTREAM_KEPT_BYTES", "UPSTREAM_MAX_BODY_BYTES", "UPSTREAM_ACCESS_LOG"])
@pytest.mark.parametrize("value", ["-1", "64k", "1e3", "9" * 13, " 1"])
def test_a_bad_value_is_an_error_that_names_the_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=name):
        load_settings({name: value})
