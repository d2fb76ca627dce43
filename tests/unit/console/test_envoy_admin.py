"""What the answers of Envoy's admin interface mean: shapes of Envoy 1.40, and anything else without an exception."""

import json

from hypothesis import given
from hypothesis import strategies as st

from sandbox.envoy.admin import ServerInfo, parse_filter, parse_server_info, parse_stats

MODULE = "2d28b1d856ced66572f4e213a433f39c1ed1efd7ab876678ba5e4d392202c93a"
DISCOVERY = "extension_config_discovery.http_filter.token_injector."
STATS = {
    "stats": [
        {"name": f"{DISCOVERY}version_text", "value": f"{MODULE}-0123456789ab"},
        {"name": f"{DISCOVERY}update_failure", "value": 1},
        {"name": f"{DISCOVERY}update_rejected", "value": 2},
        {"name": "wasmcustom.token_injector.fetch.success", "value": 3},
        {"name": "wasmcustom.token_injector.fetch.timeout", "value": 0},
        {"name": "wasmcustom.token_injector.injected.response", "value": 7},
        {"name": "wasmcustom.token_injector.token_age_seconds", "value": 4},
        {"histograms": {"supported_quantiles": [0], "computed_quantiles": []}},
    ]
}

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.sampled_from(["stats", "name", "value", "version"]), inner),
)


def test_server_info() -> None:
    text = json.dumps(
        {
            "version": "9e5580933739775e8bce696a57a2e1bc99368f23/1.40.0/Clean/RELEASE/BoringSSL",
            "state": "LIVE",
            "uptime_current_epoch": "61s",
            "command_line_options": {"concurrency": 2},
        }
    )
    assert parse_server_info(text) == ServerInfo(state="LIVE", version="1.40.0", uptime_s=61.0, workers=2)


def test_server_info_of_another_kind() -> None:
    nothing = ServerInfo(state="UNKNOWN", version=None, uptime_s=None, workers=None)
    for text in ("", "LIVE", "[]", "{}", '{"version": 1, "uptime_current_epoch": null, "command_line_options": []}'):
        assert parse_server_info(text) == nothing


def test_the_filter() -> None:
    facts = parse_filter(parse_stats(json.dumps(STATS)))
    assert facts.version == f"{MODULE}-0123456789ab"
    assert facts.module_sha256 == MODULE
    assert (facts.failed, facts.rejected) == (1, 2)
    assert facts.fetches == {"success": 3, "timeout": 0}
    assert facts.token_age_s == 4


def test_a_token_has_no_age_before_the_first_one() -> None:
    gauge = {"wasmcustom.token_injector.token_age_seconds": 0}
    assert parse_filter(gauge).token_age_s is None
    assert parse_filter({**gauge, "wasmcustom.token_injector.fetch.success": 0}).token_age_s is None
    assert parse_filter({**gauge, "wasmcustom.token_injector.fetch.success": 1}).token_age_s == 0


def test_a_version_of_another_form_names_no_module() -> None:
    for version in ("v1", MODULE, f"{MODULE}-", f"{MODULE.upper()}-0123456789ab", f"x{MODULE}-0123456789ab"):
        facts = parse_filter({f"{DISCOVERY}version_text": version})
        assert (facts.version, facts.module_sha256) == (version, None)


def test_no_filter_yet() -> None:
    facts = parse_filter({f"{DISCOVERY}version_text": "", f"{DISCOVERY}update_rejected": 0})
    assert (facts.version, facts.module_sha256, facts.rejected, facts.failed) == (None, None, 0, None)


@given(anything)
def test_no_json_raises(value: object) -> None:
    text = json.dumps(value)
    parse_server_info(text)
    parse_filter(parse_stats(text))


@given(st.binary())
def test_no_bytes_raise(text: bytes) -> None:
    parse_server_info(text)
    parse_filter(parse_stats(text))
