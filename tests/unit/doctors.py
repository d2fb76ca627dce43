"""What the doctor's tests share: facts, programs, a check as it is handed out, code that another user runs."""

import subprocess
import sys

import pytest

from sandbox.session.doctor import run
from sandbox.session.doctor.facts import Facts
from sandbox.workspace import HOME, Project


def program(path, script):
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def facts(**given):
    values = {"project": Project(root=HOME), "settings": None, "state": None, "stack": None, "problems": {}}
    return Facts(**{**values, **given})


def reported(check, found):
    """The check as `run_doctor` hands it out."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "CHECKS", (check,))
        patch.setattr(run, "read_facts", lambda: found)
        [only] = run.run_doctor()
    return only


def as_somebody_else(code, *arguments):
    """Run Python code that may call `drop()` to lose root; without root it runs as we are, and files are closed to us by mode."""
    drop = "import os\ndef drop():\n    if os.getuid() == 0: os.setgid(65534); os.setuid(65534)\n"
    done = subprocess.run(
        [sys.executable, "-c", drop + code, *arguments], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
