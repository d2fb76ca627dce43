"""Checks of what is optional: Go, TinyGo, Docker. Absent is fine; there and of no use is a warning, never a failure."""

from collections.abc import Callable

from sandbox.engines.docker.discovery.find import INSTALL_HINT, find_docker
from sandbox.errors import PreconditionError
from sandbox.events.status import Check
from sandbox.session.doctor.base import OK, WARNING
from sandbox.session.doctor.facts import Facts
from sandbox.toolchain.find import GO_HINT, TINYGO_HINT, Tool, find_go, find_tinygo


def check_go(_: Facts) -> Check:
    """Optional: it builds the filter."""
    return _tool_check("go", find_go, GO_HINT)


def check_tinygo(_: Facts) -> Check:
    """Optional: it builds the filter small."""
    return _tool_check("tinygo", find_tinygo, TINYGO_HINT)


def _tool_check(name: str, find: Callable[[], Tool | None], hint: str) -> Check:
    try:
        tool = find()
    except PreconditionError as error:
        return Check(name=name, state=WARNING, detail=error.message, fix=error.hint)
    if tool is None:
        return Check(name=name, state=OK, detail="not installed; only building a filter needs it", fix=hint)
    return Check(name=name, state=OK, detail=f"{tool.version}, {tool.program}")


def check_docker(_: Facts) -> Check:
    """Optional: the local engine needs none of it."""
    try:
        docker = find_docker()
    except PreconditionError as error:
        return Check(name="docker", state=WARNING, detail=f"{error.message}; the local engine needs none", fix=error.hint)
    if docker is None:
        return Check(name="docker", state=OK, detail="not installed; the local engine needs none", fix=INSTALL_HINT)
    detail = f"{docker.version} (API {docker.api_version}), compose {docker.compose_version}"
    return Check(name="docker", state=OK, detail=detail)
