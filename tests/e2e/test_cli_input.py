"""What a user types or writes wrongly: an exit code that scripts can use, and a first line that names the culprit."""

import re
from pathlib import Path

import pytest
from stacks import Sandbox, replace_text


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("frobnicate",), "frobnicate"),
        (("up", "--frobnicate"), "--frobnicate"),
        (("up", "surplus"), "surplus"),
        (("up", "--ingress-port", "http"), "--ingress-port"),
        (("up", "--ingress-port", "0"), "--ingress-port"),
        (("up", "--ingress-port", "65536"), "a port from 1 to 65535"),
        (("up", "--workers", "0"), "--workers"),
        (("up", "--module", "rust"), "tinygo, go or source"),
        (("up", "--engine", "podman"), "--engine"),
        (("up", "--timeout", "0"), "--timeout"),
        (("up", "--timeout", "nan"), "--timeout"),
        (("up", "-o", "xml"), "xml"),
        (("logs", "-n", "-1"), "--tail"),
        (("logs", "--since", "yesterday"), "yesterday"),
        (("logs", "--level", "loud"), "loud"),
        (("logs", "-o", "yaml"), "yaml"),
        (("logs", "-i", "(token"), "--include '(token' is no regular expression"),
        (("logs", "-i", "token", "-e", "*"), "--exclude '*' is no regular expression"),
        (("logs", "envoi"), "envoi"),
        (("restart", "jwtapi"), "jwtapi"),
        (("curl",), "PATH"),
        (("curl", "/", "no-header"), "no-header"),
        (("curl", "/", "-d", "@/no/such/file"), "/no/such/file"),
        (("status", "-o", "yaml"), "yaml"),
    ],
    ids=" ".join,
)
def test_bad_input_is_exit_code_2_and_named(sandbox: Sandbox, words: tuple[str, ...], named: str):
    done = sandbox.run(*words).expect(2)
    assert done.stdout == ""
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert not sandbox.state.exists()


def test_a_near_miss_is_suggested(sandbox: Sandbox):
    assert "did you mean envoy?" in sandbox.run("logs", "envoi").stderr
    assert "did you mean jwt-api?" in sandbox.run("restart", "jwtapi").stderr
    assert "--bypass" in sandbox.run("curl", "--bypas", "/").stderr


def test_an_unknown_variable_is_an_error_with_a_suggestion(sandbox: Sandbox):
    sandbox.environment["SANDBOX_INGRES_PORT"] = "8080"
    done = sandbox.run("up").expect(2)
    assert done.error == "error: SANDBOX_INGRES_PORT: unknown setting 'ingres_port'"
    assert "did you mean ingress_port?" in done.stderr


@pytest.mark.parametrize(
    ("name", "value"),
    [("INGRESS_PORT", "eighty"), ("WORKERS", "many"), ("MODULE", "rust"), ("TIMEOUT_S", "-1"), ("ENGINE", "vm")],
)
def test_a_bad_value_of_a_variable_names_the_variable(sandbox: Sandbox, name: str, value: str):
    sandbox.environment[f"SANDBOX_{name}"] = value
    done = sandbox.run("up").expect(2)
    assert done.error.startswith(f"error: SANDBOX_{name}: ")
    assert repr(value) in done.error


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ingres_port: 1\n", "unknown setting 'ingres_port'"),
        ("workers: many\n", "workers must be a number from 1 to 64, not 'many'"),
        ("- a\n- list\n", "must hold settings as `key: value`"),
        ("workers: [\n", "is no YAML"),
        ("workers: \x00\n", "is no YAML"),
    ],
)
def test_a_bad_sandbox_yaml_is_named(own: Sandbox, project: Path, text: str, said: str):
    (project / "sandbox.yaml").write_text(text)
    done = own.run("up").expect(2)
    assert str(project / "sandbox.yaml") in done.error
    assert said in done.error


def test_sandbox_yaml_counts_and_a_variable_and_a_flag_count_more(own: Sandbox, project: Path):
    (project / "sandbox.yaml").write_text("workers: 65\n")
    assert "sandbox.yaml: workers must be" in own.run("up").expect(2).error
    (project / "sandbox.yaml").write_text("workers: 1\n")
    own.environment["SANDBOX_WORKERS"] = "65"
    assert own.run("up").expect(2).error.startswith("error: SANDBOX_WORKERS")
    own.environment["SANDBOX_WORKERS"] = "3"
    assert own.run("up", "--workers", "65").expect(2).error.startswith("error: --workers")
    own.up()
    assert own.heard()["envoy"]["workers"] == 3
    own.down()


def test_a_project_variable_that_names_no_project(sandbox: Sandbox):
    sandbox.environment["SANDBOX_PROJECT"] = str(sandbox.folder)
    done = sandbox.run("up").expect(2)
    assert str(sandbox.folder) in done.error
    assert "hint: unset SANDBOX_PROJECT" in done.stderr


@pytest.mark.parametrize("content", [b"", b"not wasm at all", b"\x7fELF"])
def test_a_module_that_is_no_wasm(own: Sandbox, project: Path, content: bytes):
    (project / "filter" / "prebuilt" / "token_injector.tinygo.wasm").write_bytes(content)
    done = own.run("up", *own.port_flags).expect(2)
    assert done.error.startswith("error: the filter module is no WebAssembly")
    assert own.leftovers() == []


def test_a_module_that_is_missing(own: Sandbox, project: Path):
    path = project / "filter" / "prebuilt" / "token_injector.tinygo.wasm"
    path.unlink()
    done = own.run("up", *own.port_flags).expect(2)
    assert str(path) in done.error


def test_a_module_that_envoy_refuses(own: Sandbox, project: Path):
    """The magic and the version are right, the rest is not."""
    path = project / "filter" / "prebuilt" / "token_injector.tinygo.wasm"
    path.write_bytes(path.read_bytes()[:5000])
    done = own.run("up", *own.port_flags).expect(6)
    assert done.error.startswith("error: Envoy refused the filter: ")
    own.await_clean()


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('"tick": "15s"', '"tikc": "15s"', '"tikc": is not a key of the configuration, did you mean "tick"?'),
        ('"tick": "15s"', '"tick": "soon"', '"tick": must be a duration'),
        ('"fetch": "shared"', '"fetch": "sometimes"', '"fetch"'),
    ],
)
def test_a_wrong_plugin_configuration_is_refused_in_the_filters_own_words(
    own: Sandbox, project: Path, old: str, new: str, said: str
):
    replace_text(project / "envoy" / "xds" / "filter.yaml", old, new)
    done = own.run("up", *own.port_flags).expect(6)
    assert done.error.startswith("error: Envoy refused the filter: ")
    assert said in done.error
    assert "hint: " in done.stderr
    own.await_clean()


def test_a_refused_filter_can_be_kept_for_inspection(own: Sandbox, project: Path):
    replace_text(project / "envoy" / "xds" / "filter.yaml", '"tick": "15s"', '"tikc": "15s"')
    own.run("up", "--keep", *own.port_flags).expect(6)
    assert own.json("status")["filter_live"] is not True
    assert '"tikc"' in own.run("logs", "envoy").expect(0).stdout
    own.down()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resources: []\n", "must hold one Wasm filter"),
        ("resources: [\n", r"filter\.yaml:\d+:\d+: "),
        ("just words\n", "must be a mapping"),
    ],
)
def test_a_filter_yaml_that_is_no_filter(own: Sandbox, project: Path, text: str, said: str):
    (project / "envoy" / "xds" / "filter.yaml").write_text(text)
    done = own.run("up", *own.port_flags).expect(2)
    assert re.search(said, done.error)
    assert own.leftovers() == []
