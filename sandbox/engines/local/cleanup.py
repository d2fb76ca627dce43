"""Whether anything of a stack is left, and its end. Asks the system, by a lock and by a mark in the environment.

Process numbers in files are never believed.
"""

import shutil
import time

from sandbox.engines.local.control import connect
from sandbox.engines.marks import kill_marked
from sandbox.errors import StackError
from sandbox.files import is_locked
from sandbox.wait import Deadline
from sandbox.workspace import State

ORPHAN_PATIENCE_S = 0.5
KILL_TIMEOUT_S = 10.0
POLL_S = 0.01


def is_alive(state: State) -> bool:
    """Whether guard, supervisor or a service still runs: each holds the lock."""
    return is_locked(state.alive)


def clean_up(state: State, deadline: Deadline) -> None:
    """Wait until all processes are gone, kill those whose supervisor and guard were both killed, remove the run folder.

    Raises: StackError when something survives even SIGKILL.
    """
    channel = connect(state.run)
    if channel:
        channel.close()
    patience = Deadline(max(ORPHAN_PATIENCE_S, deadline.remaining_s if channel else 0.0))
    while is_alive(state):
        if patience.over:
            kill_marked(state.run)
        if patience.elapsed_s > patience.timeout_s + KILL_TIMEOUT_S:
            raise StackError("something of the stack cannot be ended", hint=f"lsof {state.alive}")
        time.sleep(POLL_S)
    shutil.rmtree(state.run, ignore_errors=True)
