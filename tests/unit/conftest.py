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
