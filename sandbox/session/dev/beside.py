"""What goes on beside the cycles of `dev`, if somebody wants to see it: what the filter logs, and the exchanges."""

import contextlib
import threading
from collections.abc import Callable

from sandbox.errors import SandboxError
from sandbox.events.stack import Notice
from sandbox.events.watch import Dropped
from sandbox.observe.exchange import Exchange
from sandbox.session.context import Context
from sandbox.session.line_choice import Entry, LineChoice
from sandbox.session.logs import read_logs
from sandbox.session.watch.choice import make_choice
from sandbox.session.watch.feed import Feed

TAKE_S = 0.25
MAX_PUT = 500
"""Not shown yet. Beyond that nothing more is read, and who is read from loses the oldest, and says how many."""

Seen = Entry | Exchange | Notice


class Beside:
    """Reads in threads of its own, from `start` on, as long as the stack runs; `put` is called from them.

    Whoever shows what was put says so by `shown`.
    """

    def __init__(self, context: Context, *, logs: bool, exchanges: bool, put: Callable[[Seen], None]) -> None:
        self._context = context
        works = ((self._read_logs, logs), (self._read_exchanges, exchanges))
        self._threads: dict[Callable[[], None], threading.Thread | None] = {work: None for work, wanted in works if wanted}
        self._put = put
        self._room = threading.Semaphore(MAX_PUT)
        self._stopped = threading.Event()

    def start(self) -> None:
        """Begin with what comes now, where that was not begun or has ended with a stack; there has to be one."""
        for work, thread in self._threads.items():
            if thread is None or not thread.is_alive():
                # Each can hang in a read when all else is done.
                self._threads[work] = new = threading.Thread(target=self._guard, args=(work,), name="beside", daemon=True)
                new.start()

    def shown(self) -> None:
        """One of what was put is not waiting any more."""
        self._room.release()

    def close(self) -> None:
        """Let it end."""
        self._stopped.set()

    def _guard(self, work: Callable[[], None]) -> None:
        with contextlib.suppress(SandboxError):  # the stack has ended, which the cycles tell
            work()

    def _read_logs(self) -> None:
        for entry in read_logs(self._context, (), LineChoice(only_filter=True), since=None, tail=0, follow=True):
            if self._stopped.is_set():
                return
            self._pass_on(entry)

    def _read_exchanges(self) -> None:
        choice = make_choice(paths=(), statuses=(), headers=(), changed=False, changed_names=())
        with Feed(self._context, choice, since_s=None, secrets=False) as feed:
            while not self._stopped.is_set():
                for record in feed.take(TAKE_S):
                    if isinstance(record, Exchange):
                        self._pass_on(record)
                    elif isinstance(record, Dropped):
                        self._pass_on(Notice(text=f"{record.count} exchanges are left out: {record.because}"))

    def _pass_on(self, seen: Seen) -> None:
        while not self._room.acquire(timeout=TAKE_S):
            if self._stopped.is_set():
                return
        self._put(seen)
