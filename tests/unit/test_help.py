"""What help texts say of the stack is what the stack is: they are typed, because importing it would slow every command."""

import pytest
from typer.testing import CliRunner

from sandbox.cli.main import app
from sandbox.config import load_settings
from sandbox.stack import ENGINE_NAMES, PUBLISHED, service_names
from sandbox.workspace import MODULE_KINDS, SOURCE


def help_of(verb):
    return " ".join(CliRunner().invoke(app, [*verb.split(), "--help"]).output.split())


@pytest.mark.parametrize("port", PUBLISHED, ids=lambda port: port.name)
def test_ports(port):
    assert f"--{port.name}-port <int> Port of the {port.name}: that one or an error. [default: {port.number}," in help_of("up")


@pytest.mark.parametrize("verb", ["restart", "logs"])
def test_services(verb):
    assert f"{', '.join(service_names())}; none: all." in help_of(verb)


@pytest.mark.parametrize("verb", ["up", "down", "restart", "status", "curl", "logs", "bundle save", "bundle load"])
def test_engines(verb, tmp_path):
    *most, last = ENGINE_NAMES
    assert f"--engine <str> {', '.join(most)} or {last}." in help_of(verb)
    for name in ENGINE_NAMES:
        assert load_settings(tmp_path / "none", {"engine": name}, {}).engine == name


def test_modules():
    kinds = ", ".join(MODULE_KINDS)
    assert f"Which build of the filter: {kinds}, or {SOURCE}: built now. [default: {MODULE_KINDS[0]}]" in help_of("up")
