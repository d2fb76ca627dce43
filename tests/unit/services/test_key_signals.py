"""A JWT API that is ended while it makes its key leaves the key or nothing, never half of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from services.jwt_api.keys import load_or_make_key

ENDED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from services.jwt_api import keys

keys.os.fsync = lambda _: os.kill(os.getpid(), signal.{name})
keys.load_or_make_key(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_ended_while_the_key_is_written(tmp_path: Path, name: str) -> None:
    path = tmp_path / "keys" / "jwt-api.jwk.json"
    done = subprocess.run([sys.executable, "-c", ENDED_WHILE_WRITING.format(name=name), path], capture_output=True, check=False)
    assert done.returncode < 0, done.stderr
    assert [left.name for left in path.parent.iterdir()] == [path.name]


def test_what_a_killed_process_left_goes_with_the_next_key(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "jwt-api.jwk.json"
    path.parent.mkdir(mode=0o700)
    (path.parent / f".{path.name}.0123456789abcdef.part").write_bytes(b"{")
    load_or_make_key(path)
    assert [left.name for left in path.parent.iterdir()] == [path.name]
