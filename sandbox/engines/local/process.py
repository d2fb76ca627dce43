"""The process of the supervisor, from its plan to the end of its run folder. Started by the guard, by fork."""

import os
import shutil
import socket
import sys
import types
from pathlib import Path

from sandbox.engines.local.clients import Client
from sandbox.engines.local.plan import load_plan
from sandbox.engines.local.supervisor import Supervisor
from sandbox.workspace import RUN_PLAN


def supervise(run: Path, *, owner_handle: int, guard_handle: int, alive_handle: int) -> int:
    """Run the stack of `run`/plan.json to its end; returns the exit code."""
    os.chdir(run)
    plan = load_plan(Path(RUN_PLAN))
    _import_services_from(Path(plan.services_root))
    owner = socket.socket(fileno=owner_handle)
    supervisor = Supervisor(plan, Client(owner), guard_handle, alive_handle)
    supervisor.loop()
    os.chdir("/")
    shutil.rmtree(run, ignore_errors=True)
    return 0


def _import_services_from(root: Path) -> None:
    """Make `services` the project's own, wherever else a package of that name can be found; nothing else comes from there."""
    package = types.ModuleType("services")
    package.__path__ = [str(root / "services")]
    sys.modules["services"] = package
