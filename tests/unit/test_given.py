"""What the user names: what it is called from then on."""

import os
from pathlib import Path

import pytest

from sandbox.session.given import load_configuration, load_module
from sandbox.workspace import HOME, Project

SHIPPED = Project(root=HOME).module("tinygo").read_bytes()


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        (b"mine.wasm", "mine.wasm"),
        (b"go", "./go"),
        (b"tinygo", "./tinygo"),
        (b"a\x1b[31m\xff\n.wasm", "a?[31m??.wasm"),
        (b"x" * 250, "x" * 200),
    ],
)
def test_a_file_has_a_name_that_can_be_shown_and_is_no_build_of_ours(tmp_path: Path, name: bytes, origin: str):
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    file.write_bytes(SHIPPED)
    assert load_module(file).origin == origin
    file.write_text("{}")
    assert load_configuration(file).origin == origin
