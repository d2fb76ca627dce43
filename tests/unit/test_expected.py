from pathlib import Path

import pytest

from sandbox.envoy.resource import Injected, parse_duration, render_filter
from sandbox.session.expected import Expected, parse_expected

FILTER = (Path(__file__).resolve().parents[2] / "envoy/xds/filter.yaml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("15s", 15.0),
        ("100ms", 0.1),
        ("1m30s", 90.0),
        ("1h", 3600.0),
        ("1.5s", 1.5),
        (".5s", 0.5),
        ("15", None),
        ("", None),
        ("-1s", None),
        ("soon", None),
        ("1s ", None),
    ],
)
def test_a_duration_as_go_writes_it(text, seconds):
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(("configured", "seconds"), [('"tick": "15s",', 15.0), ('"tick": "1m",', 60.0), ("", 15.0)])
def test_the_tick_is_read_from_the_configuration(configured, seconds):
    text = FILTER.replace('"tick": "15s",', configured)
    assert render_filter(text, "0" * 64, "filter.yaml", modules_folder="m").injected.tick_s == seconds


@pytest.mark.parametrize("tick_s", [15.0, 0.1, None])
def test_labels_and_back(tick_s):
    injected = Injected(where="both", token_header="x-auth", marker_header="x-m", tick_s=tick_s)
    expected = Expected(version="a-b", module="go", injected=injected)
    assert parse_expected(expected.labels()) == expected


def test_labels_of_another_version():
    injected = Injected(where="both", token_header="x-auth", marker_header="x-m", tick_s=15.0)
    labels = Expected(version="a-b", module="go", injected=injected).labels()
    del labels["inject.tick_s"]
    assert parse_expected(labels | {"inject.colour": "red"}).injected.tick_s is None
