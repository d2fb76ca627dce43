"""Systems, processors, Envoys and proxy variables. Programs are really run, and what is to be pasted is pasted."""

import os
import platform
import subprocess
import sys

import pytest
from doctors import facts, program

from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.machine import check_cpu, check_envoy, check_proxy, check_system

pytestmark = pytest.mark.usefixtures("clean")


@pytest.mark.parametrize(
    ("libc", "state"), [("glibc 2.31", OK), ("glibc 2.100", OK), ("glibc 2.30", FAILED), ("glibc 2.4", FAILED), (None, FAILED)]
)
def test_glibc(monkeypatch, libc, state):
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(os, "confstr", lambda name: libc)
    assert check_system(facts()).state == state


@pytest.mark.parametrize(("release", "state"), [("15.0", OK), ("26.1", OK), ("14.7.2", FAILED)])
def test_macos(monkeypatch, release, state):
    monkeypatch.setattr(sys, "platform", "darwin")
    monkeypatch.setattr(platform, "mac_ver", lambda: (release, ("", "", ""), "arm64"))
    assert check_system(facts()).state == state


@pytest.mark.parametrize(
    ("system", "machine", "state"),
    [
        ("linux", "x86_64", OK),
        ("linux", "aarch64", OK),
        ("linux", "riscv64", FAILED),
        ("darwin", "arm64", OK),
        ("darwin", "x86_64", FAILED),
    ],
)
def test_cpu(monkeypatch, system, machine, state):
    monkeypatch.setattr(sys, "platform", system)
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert check_cpu(facts()).state == state


def test_where_no_envoy_runs_no_docker_is_advised(monkeypatch):
    """There is no Docker engine here yet."""
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setattr(platform, "machine", lambda: "riscv64")
    for check in (check_system, check_cpu):
        found = check(facts())
        assert found.state == FAILED
        assert found.fix.startswith("use Linux")


@pytest.mark.parametrize(
    ("script", "state", "says"),
    [
        ("echo envoy  version: abc/1.33.0/Clean/RELEASE/BoringSSL", OK, "1.33.0, runs"),
        ("echo envoy  version: abc/1.32.6/Clean/RELEASE/BoringSSL", FAILED, "1.32.6 is too old"),
        ("echo \"libm.so.6: version 'GLIBC_2.29' not found\" >&2; exit 1", FAILED, "GLIBC_2.29"),
        ("kill -ILL $$", FAILED, "exit code -4"),
        ("echo hello", FAILED, "does not run"),
    ],
)
def test_envoy_is_really_asked(monkeypatch, tmp_path, script, state, says):
    program(tmp_path / "envoy", script)
    monkeypatch.setattr("sandbox.session.doctor.machine.find_envoy", lambda _: tmp_path / "envoy")
    found = check_envoy(facts())
    assert found.state == state
    assert says in found.detail


def test_proxy_variables_are_told_by_name(monkeypatch):
    assert check_proxy(facts()).state == OK
    monkeypatch.setenv("https_proxy", "http://bob:hunter2@proxy.corp:3128")
    found = check_proxy(facts())
    assert found.state == WARNING
    assert "https_proxy" in found.detail
    assert "hunter2" not in found.detail + found.fix
    said = subprocess.run(["/bin/sh", "-c", f"{found.fix}; env"], capture_output=True, text=True, check=True).stdout
    monkeypatch.setenv("NO_PROXY", next(line for line in said.splitlines() if line.startswith("NO_PROXY=")).partition("=")[2])
    assert check_proxy(facts()).state == OK
