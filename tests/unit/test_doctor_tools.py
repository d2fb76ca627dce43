"""Compilers that are absent or broken. Finding them is `test_toolchain`, Docker is `test_doctor_docker`."""

import pytest
from doctors import facts, program

from sandbox.session.doctor.base import OK, WARNING
from sandbox.session.doctor.tools import check_go, check_tinygo

pytestmark = pytest.mark.usefixtures("clean")


def test_without_tools_nothing_is_a_warning(path, monkeypatch):
    def gone():
        return None

    monkeypatch.setattr("sandbox.session.doctor.tools.find_go", gone)
    for check in (check_go, check_tinygo):
        found = check(facts())
        assert found.state == OK
        assert found.detail.startswith("not installed")
        assert found.fix


def test_a_broken_tinygo_is_a_warning(path):
    program(path / "tinygo", "exit 3")
    found = check_tinygo(facts())
    assert found.state == WARNING
    assert found.fix
