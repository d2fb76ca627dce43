"""One service of the local stack as a process: start it, read its lines, know when to start it again."""

import importlib
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator
from typing import Any

from sandbox.stack import Launch

TAIL_LINES = 20
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60.0
MAX_PENDING_BYTES = 1 << 20


class Child:
    """A service. `state` is one of those of `ServiceState`; the supervisor decides, this only does."""

    def __init__(self, launch: Launch, listener: int | None) -> None:
        self.launch = launch
        self.name = launch.name
        self.listener = listener
        self.state = "exited"
        self.pid: int | None = None
        self.output: int | None = None
        self.tail: deque[bytes] = deque(maxlen=TAIL_LINES)
        self.started_s = 0.0
        self.restarts = 0
        self.start_again_at_s: float | None = None
        self.ending_since_s: float | None = None
        self._dry = False
        self._exits: deque[float] = deque(maxlen=CRASH_LOOP_EXITS)
        self._pending = b""

    def spawn(self, keep: int) -> int:
        """Fork; returns `output`. Not to be called with other threads about.

        `keep` is a descriptor that the new process holds all its life.
        """
        output, write_end = os.pipe()
        sys.stdout.flush()
        pid = os.fork()
        if pid == 0:
            self._become(write_end, keep)
        os.close(write_end)
        os.set_blocking(output, False)
        self.pid, self.output, self.started_s = pid, output, time.monotonic()
        self.state, self.start_again_at_s, self.ending_since_s = "running", None, None
        self.tail.clear()
        return output

    def _run(self) -> None:
        """What the new process does. A service's own code is imported there, anew at each start, and fails there."""
        if not self.launch.serve:
            argv = self.launch.argv
            os.execve(argv[0], argv, dict(os.environ))  # noqa: S606 - no shell is meant
        if self.listener is None:
            raise ValueError(f"{self.name} has no socket to listen on")
        module, function = self.launch.serve.split(":")
        serve = getattr(importlib.import_module(module), function)
        serve(socket.socket(fileno=self.listener))

    def _become(self, write_end: int, keep: int) -> None:
        status = 1
        try:
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD):
                signal.signal(number, signal.SIG_DFL)
            os.dup2(write_end, 1)
            os.dup2(write_end, 2)
            low = 3
            for handle in sorted({keep, keep if self.listener is None else self.listener}):
                os.closerange(low, handle)
                low = handle + 1
            os.closerange(low, 1024)
            sys.stdout = sys.stderr = open(1, "w", buffering=1, closefd=False, encoding="utf-8")  # noqa: SIM115
            os.environ.update(self.launch.environment)
            self._run()
            status = 0
        except SystemExit as exit_:
            status = exit_.code if isinstance(exit_.code, int) else 1
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            os._exit(status)

    def lines(self) -> Iterator[bytes]:
        """Lines that have come, after `output` turned readable. Closes `output` at the end."""
        if self.output is None:
            return
        try:
            chunk = os.read(self.output, 1 << 16)
        except BlockingIOError:
            self._dry = True
            return
        self._dry = False
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if not chunk or len(self._pending) > MAX_PENDING_BYTES:
            lines, self._pending = [*lines, self._pending], b""
        if not chunk:
            os.close(self.output)
            self.output = None
        for line in lines:
            if line:
                self.tail.append(line)
                yield line

    def drain(self) -> Iterator[bytes]:
        """What a dead service still had to say. A grandchild that holds the pipe open keeps nobody waiting."""
        while self.output is not None:
            yield from self.lines()
            if self._dry and self.output is not None:
                os.close(self.output)
                self.output = None

    def state_now(self) -> dict[str, Any]:
        """The fields of `ServiceState`."""
        uptime_s = round(time.monotonic() - self.started_s, 3) if self.pid is not None else 0.0
        return {"name": self.name, "state": self.state, "pid": self.pid, "uptime_s": uptime_s, "restarts": self.restarts}

    def end(self) -> None:
        """Ask it to end; `ending_since_s` says since when."""
        self.ending_since_s = time.monotonic()
        self.signal(signal.SIGTERM)

    def signal(self, number: int) -> None:
        """Signal the process; it is our child and not reaped, so the number is its own."""
        if self.pid is not None:
            os.kill(self.pid, number)

    def reap(self) -> int | None:
        """The return code if the process has ended (negative for a signal), else None."""
        if self.pid is None:
            return None
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if pid == 0:
            return None
        self.pid, self.state = None, "exited"
        return os.waitstatus_to_exitcode(status)

    def plan_restart(self) -> None:
        """After a crash: start again with back-off, or give up after `CRASH_LOOP_EXITS` in `CRASH_LOOP_WINDOW_S`."""
        now = time.monotonic()
        self._exits.append(now)
        recent = [at for at in self._exits if now - at < CRASH_LOOP_WINDOW_S]
        if len(recent) >= CRASH_LOOP_EXITS:
            self.state = "crash-looping"
            return
        self.state = "restarting"
        self.start_again_at_s = now + min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (len(recent) - 1))
