"""`docker compose` for one project: its words, its variables, and a process group that can be ended whole.

Ending `docker` alone would leave the plugin, which is its child.
"""

import contextlib
import os
import queue
import signal
import subprocess
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sandbox.children import signal_group, start_child
from sandbox.engines.docker.discovery.find import INSTALL_HINT
from sandbox.engines.marks import MARK
from sandbox.errors import PreconditionError, SandboxError, StackError
from sandbox.wait import Deadline

END_TIMEOUT_S = 3.0
STOPPED = "the stack was stopped while it started"
"""What there is to say where somebody else ended compose, or a container."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Compose:
    """How `docker compose` is called for a project: `name` is Compose's name for it, `environment` leads to the engine.

    `mark` is the folder by which its processes are found.
    """

    name: str
    file: Path
    mark: Path
    environment: Mapping[str, str]

    def start(self, *words: str, variables: Mapping[str, str]) -> "ComposeRun":
        """Start a verb of compose; `variables` are those of compose.yaml.

        Raises: PreconditionError when there is no program `docker`.
        """
        command = ["docker", "compose", "--progress", "json", "--project-name", self.name, "--file", str(self.file), *words]
        try:
            process = start_child(
                command, folder=None, environment={**os.environ, **self.environment, **variables, MARK: str(self.mark)}
            )
        except OSError as error:
            raise PreconditionError(f"the program `docker` does not run: {error.strerror}", hint=INSTALL_HINT) from error
        return ComposeRun(process)


class ComposeRun:
    """A verb of compose under way. What it says is read by a thread, so that it never waits for us."""

    def __init__(self, process: "subprocess.Popen[bytes]") -> None:
        self._process = process
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ended = False
        try:
            threading.Thread(target=self._read, name="docker compose", daemon=True).start()
        except BaseException:  # an interrupt, for a thread takes its time to start
            with process:
                self.end()
            raise

    def _read(self) -> None:
        assert self._process.stdout
        with contextlib.closing(self._process.stdout) as stream:
            for line in stream:
                self._lines.put(line.decode(errors="replace").rstrip("\n"))
        self._lines.put(None)

    def lines(self, deadline: Deadline | None) -> Iterator[str]:
        """What it says, until it ends or the deadline is over; None: however long it takes."""
        while not self._ended:
            try:
                line = self._lines.get(timeout=deadline.remaining_s if deadline else None)
            except queue.Empty:
                return
            if line is None:
                self._ended = True
            else:
                yield line

    @property
    def returncode(self) -> int | None:
        """How it ended; None as long as it runs, or has more to say."""
        return self._process.wait() if self._ended else None

    def problem(self, said: Sequence[str], *, doing: str) -> SandboxError | None:
        """Why it did not end well, if it did not. `said` is all it said; `doing` is its verb."""
        if self.returncode == 0:
            return None
        if self.returncode is not None and self.returncode < 0:
            return StackError(STOPPED, hint="sandbox up")
        from sandbox.engines.docker.compose.failures import explain

        return explain(said, doing=doing)

    def wait(self, timeout_s: float) -> bool:
        """Whether it ended in time."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout_s)
            return True
        return False

    def end(self) -> None:
        """End it and its children: asked first, then killed, also when the wait is interrupted."""
        if self._process.poll() is not None:
            return
        try:
            signal_group(self._process, signal.SIGTERM)
            self.wait(END_TIMEOUT_S)
        finally:
            if self._process.poll() is None:
                signal_group(self._process, signal.SIGKILL)
                self.wait(END_TIMEOUT_S)
