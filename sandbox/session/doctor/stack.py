"""Checks of what a stack takes, and of the one that runs: ports, state folder, services. Keeps no port and makes no folder."""

import contextlib
import os
import shutil
import stat
from pathlib import Path

from sandbox.engines import ports
from sandbox.events.status import Check
from sandbox.session.doctor.base import FAILED, OK, WARNING
from sandbox.session.doctor.facts import Facts
from sandbox.session.doctor.redaction import pasteable, shown
from sandbox.stack import BYPASS, CONSOLE_PORT, INGRESS, Port
from sandbox.wait import Deadline

MIN_FREE_BYTES, FEW_FREE_BYTES = 50_000_000, 500_000_000
PRIVATE = 0o700


def check_ingress_port(facts: Facts) -> Check:
    """Envoy with the filter."""
    return _check_port(facts, INGRESS)


def check_bypass_port(facts: Facts) -> Check:
    """Envoy without it."""
    return _check_port(facts, BYPASS)


def check_console_port(facts: Facts) -> Check:
    """Our own control plane."""
    return _check_port(facts, CONSOLE_PORT)


def _check_port(facts: Facts, port: Port) -> Check:
    name = f"{port.name} port"
    mine = facts.stack.endpoints.host.get(port.name) if facts.stack and facts.stack.endpoints else None
    if mine:
        return Check(name=name, state=OK, detail=f"{mine.port} is held by the running stack")
    asked: int | None = getattr(facts.settings, f"{port.name}_port", None)
    number = asked or port.number
    with contextlib.ExitStack() as stack:
        listener, holder = ports.take_port(number, Deadline(ports.VANISHING_S))
        if listener:
            stack.enter_context(listener)
            return Check(name=name, state=OK, detail=f"{number} is free")
        taken = f"{number} is taken by {holder}"
        other = ports.listen(0)
        fix = f"sandbox up --{port.name}-port {ports.port_of(stack.enter_context(other))}" if other else "ss -ltn"
    if asked:
        return Check(name=name, state=FAILED, detail=f"{taken}, and the settings ask for it", fix=fix)
    return Check(name=name, state=WARNING, detail=f"{taken}; `sandbox up` takes a free one instead", fix=fix)


def check_state_folder(facts: Facts) -> Check:
    """Whether it is, or can be made, private and on a disk with room. Makes nothing."""
    if facts.state is None:
        return Check(name="state folder", state=FAILED, detail="unknown")
    folder = facts.state.root
    there = next(path for path in (folder, *folder.parents) if _exists(path))
    about = there.stat()
    mode, mine = stat.S_IMODE(about.st_mode), about.st_uid == os.getuid()
    free = shutil.disk_usage(there).free
    room = f"{free / 1e9:.1f} GB free"
    state, fix = FAILED, "export SANDBOX_STATE_DIR=/a/folder/you/own"
    if not there.is_dir():
        detail = "a file is in the way"
    elif not os.access(there, os.W_OK | os.X_OK):
        detail = "this user may not write there" if there == folder else "this user may not make it"
    elif free < MIN_FREE_BYTES:
        detail = f"the disk is full, {room}"
    elif there == folder and not mine:
        # Root may write there all the same; anybody else cannot make it private.
        state, detail = FAILED if os.getuid() else WARNING, f"belongs to another user (uid {about.st_uid})"
    elif there == folder and mode != PRIVATE:
        state, detail, fix = WARNING, f"mode {mode:04o}, others may look into it", f"chmod 700 {pasteable(folder)}"
    else:
        state, fix = (WARNING, f"df -h {pasteable(there)}") if free < FEW_FREE_BYTES else (OK, "")
        detail = f"yours, mode {mode:04o}, {room}" if there == folder else f"not there yet, can be made, {room}"
    return Check(name="state folder", state=state, detail=f"{shown(folder)}: {detail}", fix=fix)


def _exists(path: Path) -> bool:
    """Whether this user can see it."""
    try:
        return path.exists()
    except PermissionError:
        return False


def check_stack(facts: Facts) -> Check:
    """What the runtime says of this project's stack."""
    if facts.stack is None:
        return Check(name="stack", state=WARNING, detail="unknown: there is no state folder", fix="sandbox status")
    ill = [f"{service.name} is {service.state}" for service in facts.stack.services if service.state != "running"]
    match facts.stack.phase:
        case "crashed":
            return Check(name="stack", state=WARNING, detail="crashed", fix="sandbox up")
        case "running" if ill:
            return Check(name="stack", state=WARNING, detail=f"running, but {', '.join(ill)}", fix="sandbox logs")
        case "running":
            return Check(name="stack", state=OK, detail=f"running, {len(facts.stack.services)} services")
        case phase:
            return Check(name="stack", state=OK, detail="not running" if phase == "stopped" else phase)
