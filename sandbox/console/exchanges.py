"""One reader of Envoy's taps for all who watch. It is attached while there is somebody, and outlives Envoy."""

import asyncio
import traceback
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from logging import getLogger

from sandbox.console.attachment import Attachment
from sandbox.console.sampling import Sampling
from sandbox.console.viewers import Audience, Viewer
from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.observe.redact import redact

RETRY_S = 0.05
PAUSE_S = 1.0
"""After a bug of ours, which is likely to come again."""
BUG = "a bug of the console, see its log"

_log = getLogger(__name__)


class Exchanges:
    """Reads the taps, and asks all the time what became of the filter and its token, for everybody who watches.

    Events are `exchange`; `tap`, whether the taps are attached and one of how many requests they show; `filter` and `token`, when
    these are others than before; `dropped`, how many exchanges are missing and why.
    """

    def __init__(self, client: AdminClient) -> None:
        self._client = client
        self._audience = Audience()
        self._following: asyncio.Task[None] | None = None
        self._sampling = Sampling()

    @asynccontextmanager
    async def watch(self, *, since_s: float | None, secrets: bool) -> AsyncGenerator[Viewer]:
        """Let somebody watch, first what is kept since `since_s` (epoch, UTC) if that is given. `secrets`: tokens in full."""
        while self._following and self._following.cancelling() and not self._following.done():
            await asyncio.wait({self._following})  # Envoy has one such stream at a time
        if self._following is None or self._following.done():
            self._audience.forget_states()
            self._following = asyncio.create_task(self._follow())
        viewer = Viewer(secrets=secrets)
        self._audience.join(viewer, since_s=since_s)
        try:
            yield viewer
        finally:
            self._audience.leave(viewer)
            if not self._audience:
                await self.close()

    async def close(self) -> None:
        """Detach, whoever watches. Cut short, it goes on by itself."""
        if self._following:
            self._following.cancel()
            await asyncio.wait({self._following})

    async def _follow(self) -> None:
        counted = None
        while True:
            try:
                counted = await Attachment(self._client, self._sampling, self._audience).stay(counted)
            except AdminError as error:
                counted = None
                self._tell_detached(error.message)
                await asyncio.sleep(RETRY_S)
            except Exception as error:  # whoever watches is not to be blind for ever
                counted = None
                _log.error("following the exchanges failed: %s", redact("".join(traceback.format_exception(error))))
                self._tell_detached(BUG)
                await asyncio.sleep(PAUSE_S)

    def _tell_detached(self, reason: str) -> None:
        self._audience.tell("tap", {"attached": False, "share": None, "reason": reason})
