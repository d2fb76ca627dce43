"""Tells that sources may have changed: by file events, and where none come, by looking. Whether they did is `sources`' to say."""

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Self

from sandbox.session.dev.sources import Look, Sources

LOOK_EVERY_S = 0.7
"""Events are not believed alone: on a network mount there are none, and a folder that was made anew has none."""
SETTLE_MS = 20
"""So long after the last event of a save."""
GATHER_MS = 400

Tell = Callable[[str], None]


class Watcher:
    """Calls `changed` from a thread of its own, from its entry to its exit, and `tell` with what a person should know."""

    def __init__(self, sources: Sources, *, changed: Callable[[], None], tell: Tell) -> None:
        self._sources = sources
        self._changed = changed
        self._tell = tell
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watch files", daemon=True)
        self._seen: Look = sources.look()
        self._told: set[str] = set()
        self._unheard = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stopped.is_set():
            if not self._sources.is_there:
                self._say(f"{self._sources.folder} is gone; waiting for it")
                self._stopped.wait(LOOK_EVERY_S)
                continue
            try:
                self._follow_events()
            except (OSError, RuntimeError) as error:  # the system has no more events to give, or the folder has just gone
                if self._sources.is_there:
                    self._say(f"no file events ({error}): looking every {LOOK_EVERY_S:g} s")
                self._stopped.wait(LOOK_EVERY_S)
                self._look(by_event=True)

    def _follow_events(self) -> None:
        """Until the folder is another one, or we are stopped.

        Raises: OSError, RuntimeError when there are no events to be had.
        """
        from watchfiles import watch

        inode = self._inode()
        folders = {self._sources.folder, self._sources.filter_yaml.parent}
        changes = watch(
            *(folder for folder in folders if folder.is_dir()),
            watch_filter=None,
            step=SETTLE_MS,
            debounce=GATHER_MS,
            rust_timeout=int(LOOK_EVERY_S * 1000),
            yield_on_timeout=True,
            stop_event=self._stopped,
            raise_interrupt=False,
            force_polling=False,  # we look ourselves
            ignore_permission_denied=True,
        )
        self._look(by_event=True)  # what was saved before there were events
        for some in changes:
            self._look(by_event=bool(some))
            if self._inode() != inode:
                return

    def _look(self, *, by_event: bool) -> None:
        now = self._sources.look()
        if by_event:
            self._unheard = 0
        if now == self._seen:
            return
        self._seen = now
        if not by_event:
            self._unheard += 1
        if self._unheard > 1:  # the event of a single one may be under way
            self._say(f"no file events for what was saved: looking every {LOOK_EVERY_S:g} s")
        self._changed()

    def _inode(self) -> int | None:
        try:
            return Path(self._sources.folder).stat().st_ino
        except OSError:
            return None

    def _say(self, text: str) -> None:
        if text not in self._told:
            self._told.add(text)
            self._tell(text)
