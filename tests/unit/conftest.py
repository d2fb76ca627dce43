"""Fixtures of the doctor's tests, for whoever asks for them."""

import os
import shutil
import tempfile
from pathlib import Path

import pytest

PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture
def clean(monkeypatch, tmp_path):
    """No setting, no proxy and no Docker of this machine."""
    for name in list(os.environ):
        if name.startswith(("SANDBOX_", "DOCKER_")) or name.upper() in PROXIES:
            monkeypatch.delenv(name)
    monkeypatch.setenv("SANDBOX_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path / "docker-config"))


@pytest.fixture
def no_sockets(monkeypatch, tmp_path):
    """None of the sockets at which this machine may have an engine; returns the home folder that is searched for some."""
    home = tmp_path / "home"
    home.mkdir()
    for name in ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME"):
        monkeypatch.setenv(name, str(home))
    for name in ("COLIMA_HOME", "COLIMA_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sandbox.engines.docker.discovery.target.DEFAULT_SOCKET", home / "default.sock")
    monkeypatch.setattr("sandbox.engines.docker.discovery.sockets.ROOT_PODMAN", home / "root-podman.sock")
    return home


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A PATH of one empty folder."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


@pytest.fixture
def short():
    """A folder whose path leaves room for a Unix socket's name."""
    folder = Path(tempfile.mkdtemp(prefix="sbx"))
    yield folder
    shutil.rmtree(folder)
