"""One service of the local stack as a process: start it, read its lines, know when to start it again."""

import importlib
import os
import signal
import socket
import sys
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any

from sandbox.engines.local.signals import drop_handlers, held
from sandbox.stack import Launch

TAIL_LINES = 20
CANNOT_RUN = 126
"""The exit code that shells give for a program that cannot be run."""
FIRST_BACKOFF_S = 0.1
MAX_BACKOFF_S = 5.0
CRASH_LOOP_EXITS = 5
CRASH_LOOP_WINDOW_S = 60.0
MAX_PENDING_BYTES = 1 << 20
MAX_LINE_BYTES = 16 * 1024
DRAIN_READS = 17
"""Of 64 KiB: what a pipe can hold at most, and its end."""


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

        Raises: OSError when the system has no descriptors or no processes left; nothing has changed then.
        """
        output, write_end = os.pipe()
        sys.stdout.flush()
        try:
            with held() as mask:
                pid = os.fork()
                if pid == 0:
                    self._become(write_end, keep, mask)
        except OSError:
            os.close(output)
            raise
        finally:
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
            try:
                os.execve(argv[0], argv, dict(os.environ))  # noqa: S606 - no shell is meant
            except OSError as error:
                sys.stdout.write(f"cannot run {argv[0]}: {error.strerror}\n")
                raise SystemExit(CANNOT_RUN) from None
        if self.listener is None:
            raise ValueError(f"{self.name} has no socket to listen on")
        module, function = self.launch.serve.split(":")
        serve = getattr(importlib.import_module(module), function)
        serve(socket.socket(fileno=self.listener))

    def _become(self, write_end: int, keep: int, mask: Iterable[int]) -> None:
        status = 1
        try:
            drop_handlers(mask)
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
            try:
                sys.stdout.flush()
            finally:
                os._exit(status)

    def lines(self) -> Iterator[bytes]:
        """Lines that have come, after `output` turned readable, each cut at `MAX_LINE_BYTES`. Closes `output` at the end."""
        if self.output is None:
            return
        try:
            chunk = os.read(self.output, 1 << 16)
        except BlockingIOError:
            self._dry = True
            return
        *lines, self._pending = (self._pending + chunk).split(b"\n")
        if not chunk or len(self._pending) > MAX_PENDING_BYTES:
            lines, self._pending = [*lines, self._pending], b""
        if not chunk:
            self._close()
        yield from self._take(lines)

    def drain(self) -> Iterator[bytes]:
        """What a dead service still had to say; closes `output`.

        A grandchild that holds the pipe open keeps nobody waiting, whether it is silent or writes without end.
        """
        self._dry = False
        for _ in range(DRAIN_READS):
            if self.output is None or self._dry:
                break
            yield from self.lines()
        yield from self._take([self._pending])
        self._close()

    def _take(self, lines: Iterable[bytes]) -> Iterator[bytes]:
        for line in filter(None, lines):
            self.tail.append(_cut(line))
            yield self.tail[-1]

    def _close(self) -> None:
        if self.output is not None:
            os.close(self.output)
        self.output, self._pending = None, b""

    def last_lines(self) -> list[str]:
        """The last `TAIL_LINES` as text."""
        return [line.decode(errors="replace") for line in self.tail]

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
        self.start_again_at_s = None
        self._exits.append(now)
        recent = [at for at in self._exits if now - at < CRASH_LOOP_WINDOW_S]
        if len(recent) >= CRASH_LOOP_EXITS:
            self.state = "crash-looping"
            return
        self.state = "restarting"
        self.start_again_at_s = now + min(MAX_BACKOFF_S, FIRST_BACKOFF_S * 2 ** (len(recent) - 1))

    def forget_exits(self) -> None:
        """Somebody wants it started once more: only what happens from here on counts."""
        self._exits.clear()


def _cut(line: bytes) -> bytes:
    if len(line) <= MAX_LINE_BYTES:
        return line
    return line[:MAX_LINE_BYTES] + f" … {len(line) - MAX_LINE_BYTES} bytes cut".encode()
