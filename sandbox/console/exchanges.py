"""One reader of Envoy's taps for all who watch. It is attached while there is somebody, and outlives Envoy."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager

from sandbox.console.attachment import Attachment
from sandbox.console.sampling import Sampling
from sandbox.console.viewers import Event, Viewer
from sandbox.envoy.admin import AdminClient, AdminError

KEPT = 1000
"""Exchanges for who asks for earlier ones."""
RETRY_S = 0.05


class Exchanges:
    """Reads the taps, and asks all the time what became of the filter and its token, for everybody who watches.

    Events are `exchange`; `tap`, whether the taps are attached and one of how many requests they show; `filter` and `token`, when
    these are others than before; `dropped`, how many exchanges are missing and why.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self._viewers: set[Viewer] = set()
        self._kept: deque[Event] = deque(maxlen=KEPT)
        self._state: dict[str, Event] = {}
        self._following: asyncio.Task[None] | None = None
        self._sampling = Sampling()

    @asynccontextmanager
    async def watch(self, *, since_s: float | None, secrets: bool) -> AsyncGenerator[Viewer]:
        """Let somebody watch, first what is kept since `since_s` (epoch, UTC) if that is given. `secrets`: tokens in full."""
        viewer = Viewer(secrets=secrets)
        earlier = [event for event in self._kept if since_s is not None and event.time_s >= since_s]
        for event in (*self._state.values(), *earlier):
            viewer.put(event)
        self._viewers.add(viewer)
        self._following = self._following or asyncio.create_task(self._follow())
        try:
            yield viewer
        finally:
            self._viewers.discard(viewer)
            if not self._viewers:
                self._following.cancel()
                self._following = None
                self._state.clear()

    def _publish(self, event: Event) -> None:
        if event.name == "exchange":
            self._kept.append(event)
        for viewer in self._viewers:
            viewer.put(event)

    def _tell(self, name: str, state: Mapping[str, object]) -> None:
        """Publish a state, if it is another one than before."""
        before = self._state.get(name)
        if before is None or before.data != state:
            self._state[name] = Event(name, state)
            self._publish(self._state[name])

    async def _follow(self) -> None:
        counted = None
        while True:
            try:
                counted = await Attachment(self._client, self._sampling, publish=self._publish, tell=self._tell).last(counted)
            except AdminError as error:
                counted = None
                self._tell("tap", {"attached": False, "share": None, "reason": error.message})
                await asyncio.sleep(RETRY_S)
