"""Those who watch: each has a queue of its own, of server-sent events."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncGenerator, Iterator, Mapping

from sandbox.console.holding import Kept, Newest, Told, make_event
from sandbox.observe.exchange import Exchange

KEPT = 1000
KEPT_BYTES = 16 << 20
"""Exchanges for who asks for earlier ones, as `weigh_exchange` has it."""
MAX_WAITING = 2000
MAX_WAITING_BYTES = 24 << 20
"""Exchanges that wait for one viewer. Most of them are shared with other viewers and with what is kept."""
AT_ONCE = 20
AT_ONCE_BYTES = 256 << 10
PING_S = 10.0

SLOW = "this viewer is slow"


class Viewer:
    """What one viewer is still to get.

    Of exchanges it loses the oldest first, and is told how many; of a state it gets the latest, and of what was dropped the sum.
    """

    def __init__(self, *, secrets: bool) -> None:
        self._secrets = secrets
        self._exchanges: Newest[Told] = Newest(max_count=MAX_WAITING, max_bytes=MAX_WAITING_BYTES)
        self._states: dict[str, Mapping[str, object]] = {}
        self._dropped: Counter[str] = Counter()
        self._news = asyncio.Event()

    @property
    def waiting_bytes(self) -> int:
        """How many bytes the exchanges take that wait."""
        return self._exchanges.size_bytes

    def put(self, exchange: Told) -> None:
        """Queue it."""
        if lost := self._exchanges.put(exchange):
            self._dropped[SLOW] += lost
        self._news.set()

    def tell(self, name: str, state: Mapping[str, object]) -> None:
        """Let the viewer know this state, and no earlier one."""
        self._states[name] = state
        self._news.set()

    def drop(self, count: int, because: str) -> None:
        """Let the viewer know that so many exchanges are missing, and why."""
        self._dropped[because] += count
        self._news.set()

    async def texts(self) -> AsyncGenerator[bytes]:
        """Yield events as they come, and a comment in a long silence: states, what is missing, and then exchanges."""
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._news.wait()
            except TimeoutError:
                yield b": nothing new\n\n"
                continue
            self._news.clear()
            # Some at a time: what still waits here can be dropped.
            while text := b"".join(self._some()):
                yield text

    def _some(self) -> Iterator[bytes]:
        states, self._states = self._states, {}
        missing, self._dropped = self._dropped, Counter()
        for name, state in states.items():
            yield make_event(name, json.dumps(state))
        for because, count in missing.items():
            yield make_event("dropped", json.dumps({"count": count, "because": because}))
        size_bytes = count = 0
        while self._exchanges and count < AT_ONCE and size_bytes < AT_ONCE_BYTES:
            text = self._exchanges.take().text(secrets=self._secrets)
            size_bytes, count = size_bytes + len(text), count + 1
            yield text


class Audience:
    """All who watch, and what one who comes gets first: states, and earlier exchanges if asked for."""

    def __init__(self) -> None:
        self._viewers: set[Viewer] = set()
        self._states: dict[str, Mapping[str, object]] = {}
        self._kept: Newest[Kept] = Newest(max_count=KEPT, max_bytes=KEPT_BYTES)

    def __len__(self) -> int:
        return len(self._viewers)

    @property
    def kept_bytes(self) -> int:
        """How many bytes the earlier exchanges take."""
        return self._kept.size_bytes

    def join(self, viewer: Viewer, *, since_s: float | None) -> None:
        """Let the viewer see all from now on, and first what is kept since `since_s` (epoch, UTC) if that is given."""
        for name, state in self._states.items():
            viewer.tell(name, state)
        if since_s is not None:
            for kept in self._kept:
                if kept.exchange.time_s >= since_s:
                    viewer.put(kept.tell())
        self._viewers.add(viewer)

    def leave(self, viewer: Viewer) -> None:
        """Forget the viewer."""
        self._viewers.discard(viewer)

    def show(self, exchange: Exchange) -> None:
        """Let all see the exchange, and keep it."""
        kept = Kept(exchange)
        self._kept.put(kept)
        told = kept.tell()
        for viewer in self._viewers:
            viewer.put(told)

    def tell(self, name: str, state: Mapping[str, object]) -> None:
        """Let all know this state, if it is another one than before."""
        if self._states.get(name) != state:
            self._states[name] = state
            for viewer in self._viewers:
                viewer.tell(name, state)

    def drop(self, count: int, because: str) -> None:
        """Let all know that so many exchanges are missing, if any, and why."""
        if count > 0:
            for viewer in self._viewers:
                viewer.drop(count, because)

    def forget_states(self) -> None:
        """Nobody is to be told of states as they were."""
        self._states.clear()
