"""Those who watch: each has a queue of its own, of server-sent events whose text they share."""

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from sandbox.observe.exchange import Exchange, dump_exchange, hide_secrets

MAX_WAITING = 1000
AT_ONCE = 20
PING_S = 10.0


class Event:
    """A server-sent event. Its text is made once for all viewers, and once more for those who may see secrets."""

    def __init__(self, name: str, data: Exchange | Mapping[str, Any]) -> None:
        self.name = name
        self.time_s = data.time_s if isinstance(data, Exchange) else time.time()
        self.data = data
        self._texts: dict[bool, bytes] = {}

    def text(self, *, secrets: bool) -> bytes:
        """As it goes over the wire. Source: WHATWG HTML, 9.2 Server-sent events."""
        if secrets not in self._texts:
            if isinstance(self.data, Exchange):
                data = dump_exchange(self.data if secrets else hide_secrets(self.data))
            else:
                data = json.dumps(self.data)
            self._texts[secrets] = f"event: {self.name}\ndata: {data}\n\n".encode()
        return self._texts[secrets]


class Viewer:
    """What one viewer is still to get. It loses the oldest first, and is told how many."""

    def __init__(self, *, secrets: bool) -> None:
        self._secrets = secrets
        self._events: deque[Event] = deque()
        self._lost = 0
        self._news = asyncio.Event()

    def put(self, event: Event) -> None:
        """Queue `event`."""
        if len(self._events) >= MAX_WAITING:
            self._events.popleft()
            self._lost += 1
        self._events.append(event)
        self._news.set()

    async def texts(self) -> AsyncGenerator[bytes]:
        """Yield events as they come, and a comment in a long silence."""
        while True:
            try:
                async with asyncio.timeout(PING_S):
                    await self._news.wait()
            except TimeoutError:
                yield b": nothing new\n\n"
                continue
            self._news.clear()
            # Some at a time: what still waits here can be dropped.
            while self._events:
                some = [self._events.popleft() for _ in range(min(len(self._events), AT_ONCE))]
                if self._lost:
                    some.insert(0, dropped(self._lost, "this viewer is slow"))
                    self._lost = 0
                yield b"".join(event.text(secrets=self._secrets) for event in some)


def dropped(count: int, because: str) -> Event:
    """The event that says how many exchanges are missing, and why."""
    return Event("dropped", {"count": count, "because": because})
