"""`sandbox up` against the same stack started by hand, and `sandbox --help` against the import of its libraries."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.measure import Comparison
from sandbox.engines.base import WantedPort
from sandbox.engines.local.engine import LocalEngine
from sandbox.session.context import open_context
from sandbox.session.launch import prepare, render_files
from sandbox.stack import PUBLISHED
from sandbox.workspace import State

BY_HAND = Path(__file__).parent / "by_hand.sh"
SANDBOX = (sys.executable, "-m", "sandbox")


class ByHand:
    """The stack from one shell script, with the files that `sandbox up` would lay out."""

    def __init__(self, folder: Path, module: str) -> None:
        context = open_context({"module": module})
        engine = LocalEngine(State(root=folder), context.project.services_root)
        endpoints, _ = engine.reserve([WantedPort(name=port.name, number=0, exact=False) for port in PUBLISHED])
        engine.release()
        prepared = prepare(context.project, context.settings)
        for name, content in render_files(prepared, endpoints, context.project).items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        ports = [str(endpoints.inside[name].port) for name in ("ingress", "jwt-api", "upstream", "console")]
        self._command = [str(BY_HAND), str(folder), sys.executable, str(prepared.envoy), *ports]
        self._root = context.project.services_root

    def run(self) -> float:
        """Seconds from the start of the script to its `ready`."""
        started = time.monotonic()
        with subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": str(self._root)}
        ) as script:
            assert script.stdout
            assert script.stdout.readline() == b"ready\n"
            return time.monotonic() - started


class BySandbox:
    """`sandbox up`, warm: keys exist, envoy.yaml has been validated, byte code is compiled."""

    def __init__(self, folder: Path, module: str) -> None:
        self._environment = {**os.environ, "SANDBOX_STATE_DIR": str(folder), "SANDBOX_MODULE": module, "SANDBOX_ENGINE": "local"}

    def run(self) -> float:
        """Seconds from the start of the command to its end, which is after a verified token was seen."""
        started = time.monotonic()
        subprocess.run([*SANDBOX, "up"], env=self._environment, check=True, capture_output=True)
        elapsed_s = time.monotonic() - started
        subprocess.run([*SANDBOX, "down"], env=self._environment, check=True, capture_output=True)
        return elapsed_s


def _command(*argv: str) -> float:
    started = time.monotonic()
    subprocess.run(argv, check=True, capture_output=True)
    return time.monotonic() - started


def compare_up(rounds: int, module: str) -> Comparison:
    """Interleaved rounds of both ways, one of each not counted."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-bench-"))
    try:
        (folder / "hand").mkdir()
        hand, ours = ByHand(folder / "hand", module), BySandbox(folder / "state", module)
        return Comparison.measure(f"sandbox up ({module})", "by hand", ours.run, hand.run, rounds=rounds, limit=1.0)
    finally:
        shutil.rmtree(folder)


def compare_help(rounds: int) -> Comparison:
    """`sandbox --help` and the bare import."""
    return Comparison.measure(
        "sandbox --help",
        "import typer, rich",
        lambda: _command(str(Path(sys.executable).with_name("sandbox")), "--help"),
        lambda: _command(sys.executable, "-c", "import typer, rich"),
        rounds=rounds,
        limit=1.3,
    )
