"""The guard: the supervisor's parent, which ends whatever a dead supervisor left behind. Started as a program, once a stack.

    guard ── supervisor ── envoy, jwt-api, upstream, console      one process group, led by the supervisor

Supervisor and services share a process group that the guard is not in. When the supervisor is gone, however it went, the guard
kills that group: the supervisor is then a zombie that only the guard can reap, so its number cannot belong to anybody else. When
the guard is gone, the supervisor sees the end of a pipe and stops. All of them hold the lock file `alive`: whoever can take
that lock knows that none is left.

macOS before Python 3.13 has no `waitid`: there the supervisor is reaped first, and the group keeps its number only as long as a
service is in it.
"""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
import time
from pathlib import Path

from sandbox.workspace import ALIVE, RUN_CRASHED

PATIENCE_S = 0.5
_PR_SET_CHILD_SUBREAPER = 36


def main() -> None:
    """Arguments: the run folder and the descriptor of the owner's socket."""
    run, owner = Path(sys.argv[1]), int(sys.argv[2])
    alive = os.open(run.parent / ALIVE, os.O_RDWR | os.O_CREAT, 0o600)
    os.set_inheritable(alive, True)  # noqa: FBT003 - its only form
    fcntl.flock(alive, fcntl.LOCK_EX)
    watched, held = os.pipe()
    supervisor = os.fork()
    if supervisor == 0:
        os.setpgid(0, 0)
        os.close(held)
        from sandbox.engines.local.process import supervise

        os._exit(supervise(run, owner_handle=owner, guard_handle=watched, alive_handle=alive))
    # From here on the guard needs nothing that it inherited but the lock and its end of the pipe.
    for handle in range(3, 1024):
        if handle not in (alive, held):
            with contextlib.suppress(OSError):
                os.close(handle)
    with contextlib.suppress(OSError):
        os.setpgid(supervisor, supervisor)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _: os.kill(supervisor, received))
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    if not _await_end(supervisor):
        from sandbox.errors import PreconditionError
        from sandbox.files import write_json

        with contextlib.suppress(PreconditionError):
            write_json(run / RUN_CRASHED, {"at": time.time()})
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(supervisor, signal.SIGKILL)
    _end_the_rest(run)


def _await_end(supervisor: int) -> bool:
    """Reap what services orphan, until the supervisor has ended; returns whether it ended well.

    It stays a zombie, except where there is no `waitid`: macOS before Python 3.13. Nobody orphans to us there.
    """
    if not hasattr(os, "waitid"):
        return os.waitpid(supervisor, 0)[1] == 0
    while True:
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if ended is None:
            return False
        if ended.si_pid == supervisor:
            return ended.si_status == 0 and ended.si_code == os.CLD_EXITED
        os.waitpid(ended.si_pid, 0)


def _end_the_rest(run: Path) -> None:
    """Reap everybody; who left the group to live on is found by the mark and killed too."""
    patient_until_s = time.monotonic() + PATIENCE_S
    while _reap():
        if time.monotonic() > patient_until_s:
            from sandbox.engines.marks import kill_marked

            kill_marked(run)
        time.sleep(0.01)


def _reap() -> bool:
    """Reap who has ended; returns whether there is anybody else."""
    try:
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    except ChildProcessError:
        return False
    return True


if __name__ == "__main__":
    main()
