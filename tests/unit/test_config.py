import pytest

from sandbox.config import FilterSettings, foreign_variables, load_settings
from sandbox.errors import ConfigError


def settings(tmp_path, text="", flags=None, environment=None):
    file = tmp_path / "sandbox.yaml"
    file.write_text(text)
    return load_settings(file, flags or {}, environment or {})


def test_defaults_have_an_origin(tmp_path):
    merged = settings(tmp_path)
    assert (merged.module, merged.workers, merged.ingress_port) == ("tinygo", 2, None)
    assert set(merged.origins.values()) == {"default"}


def test_flag_beats_variable_beats_file(tmp_path):
    text = "workers: 3\nmodule: go\ntimeout_s: 9\n"
    merged = settings(tmp_path, text, {"workers": 5, "module": None}, {"SANDBOX_WORKERS": "4", "SANDBOX_TIMEOUT_S": "8"})
    assert (merged.workers, merged.timeout_s, merged.module) == (5, 8.0, "go")
    assert merged.origins["workers"] == "--workers"
    assert merged.origins["timeout_s"] == "SANDBOX_TIMEOUT_S"
    assert merged.origins["module"].endswith("sandbox.yaml")


@pytest.mark.parametrize("source", ["file", "variable"])
def test_an_unknown_key_is_an_error_with_a_suggestion(tmp_path, source):
    text, environment = ("worker: 3\n", {}) if source == "file" else ("", {"SANDBOX_WORKER": "3"})
    with pytest.raises(ConfigError, match="unknown setting 'worker'") as caught:
        settings(tmp_path, text, environment=environment)
    assert caught.value.hint == "did you mean workers?"


def test_a_variable_of_another_program_is_none_of_ours(tmp_path):
    environment = {"SANDBOX_RUNTIME": "1", "SANDBOX_WORKERS": "3", "OTHER": "x", "SANDBOX_WORKER": "4", "SANDBOX_STATE_DIR": "/"}
    assert foreign_variables(environment) == ("SANDBOX_RUNTIME",)
    del environment["SANDBOX_WORKER"]
    assert settings(tmp_path, environment=environment).workers == 3


def test_what_status_prints_for_the_shell_is_no_setting(tmp_path):
    names = ("SANDBOX_INGRESS_URL", "SANDBOX_BYPASS_URL", "SANDBOX_CONSOLE_URL")
    assert settings(tmp_path, environment=dict.fromkeys(names, "http://127.0.0.1:1")).workers == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ingress_port", 0),
        ("ingress_port", 65536),
        ("ingress_port", "http"),
        ("workers", 0),
        ("timeout_s", -1),
        ("module", "rust"),
    ],
)
def test_a_bad_value_names_its_origin_and_what_is_accepted(tmp_path, key, value):
    with pytest.raises(ConfigError, match=rf"{key} must be .*, not '?{value}'?"):
        settings(tmp_path, flags={key: value})


def test_a_file_that_cannot_be_read(tmp_path):
    with pytest.raises(ConfigError, match=r"cannot read .*sandbox\.yaml: Is a directory") as caught:
        (tmp_path / "sandbox.yaml").mkdir()
        load_settings(tmp_path / "sandbox.yaml", {}, {})
    assert caught.value.hint


@pytest.mark.parametrize("text", ["- a\n- b\n", "a: [", "\x00"])
def test_a_file_that_holds_no_settings(tmp_path, text):
    with pytest.raises(ConfigError, match=r"sandbox\.yaml"):
        settings(tmp_path, text)


def test_what_the_filter_is_built_from(tmp_path):
    assert settings(tmp_path).filter == FilterSettings(source="filter", build="", output="")
    text = "workers: 3\nfilter:\n  build: make\n  output: out/x.wasm\n  source:\n"
    merged = settings(tmp_path, text)
    assert merged.filter == FilterSettings(source="filter", build="make", output="out/x.wasm")
    assert (merged.workers, merged.origins["filter"]) == (3, str(tmp_path / "sandbox.yaml"))
    assert settings(tmp_path, "filter: {source: src}").filter.source == "src"
    assert settings(tmp_path, "filter:\n").origins["filter"] == "default"


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("filter: {sorce: x}", "unknown setting 'filter.sorce'", "did you mean filter.source?"),
        ("filter: {colour: x}", "unknown setting 'filter.colour'", "known: filter.source, filter.build, filter.output"),
        ("filter: {build: make}", r"filter\.build needs filter\.output, too", "filter: {"),
        ("filter: {output: x}", r"filter\.output needs filter\.build, too", "filter: {"),
        ("filter: {build: [make, x], output: x}", r"filter\.build must be a command, not \['make', 'x'\]", "filter: {"),
        ("filter: {source: 3}", r"filter\.source must be a folder, not 3", "filter: {"),
        ("filter: {build: make, output: ''}", r"filter\.output must be a file, not ''", "filter: {"),
        ("filter: {3: x}", r"unknown setting 'filter\.3'", "known: "),
        ("filter: make", r"filter must hold settings \(source, build, output\), not 'make'", "filter: {"),
        ("fliter: {source: x}", "unknown setting 'fliter'", "did you mean filter?"),
    ],
)
def test_what_the_filter_is_built_from_is_checked(tmp_path, text, said, hint):
    with pytest.raises(ConfigError, match=rf"sandbox\.yaml: {said}") as caught:
        settings(tmp_path, text)
    assert caught.value.hint.startswith(hint)


def test_what_the_filter_is_built_from_is_in_the_file_or_nowhere(tmp_path):
    with pytest.raises(ConfigError, match=r"SANDBOX_FILTER: .* sandbox\.yaml only"):
        settings(tmp_path, environment={"SANDBOX_FILTER": "x"})
    assert foreign_variables({"SANDBOX_FILTERS": "x", "SANDBOX_FILTER": "x"}) == ("SANDBOX_FILTERS",)
