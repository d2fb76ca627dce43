"""The guard: the supervisor's parent, which ends whatever a dead supervisor left behind. Started as a program, once a stack.

    guard ── supervisor ── envoy, jwt-api, upstream, console      one process group, led by the supervisor

Supervisor and services share a process group that the guard is not in. When the supervisor is gone, however it went, the guard
kills that group: the supervisor is then a zombie that only the guard can reap, so its number cannot belong to anybody else. When
the guard is gone, the supervisor sees the end of a pipe and stops. All of them hold the lock file `alive`: whoever can take
that lock knows that none is left.
"""

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import sys
import time
from pathlib import Path

ALIVE = "alive"
CRASHED = "crashed.json"
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
        from sandbox.engines.local.supervisor import supervise

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
    ended = os.waitid(os.P_PID, supervisor, os.WEXITED | os.WNOWAIT)
    if ended is None or ended.si_status != 0 or ended.si_code != os.CLD_EXITED:
        with contextlib.suppress(OSError):
            (run / CRASHED).write_text(json.dumps({"at": time.time()}))
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(supervisor, signal.SIGKILL)
    with contextlib.suppress(ChildProcessError):
        while True:
            os.wait()


if __name__ == "__main__":
    main()
