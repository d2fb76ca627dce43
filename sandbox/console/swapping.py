"""Swapping the filter: lay it where Envoy watches, wait for Envoy's word, and put the old one back where that is no."""

import asyncio
import re
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from logging import getLogger
from typing import Literal

from sandbox.envoy import admin
from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.envoy.history import FilterVersion, History, with_live, without_live
from sandbox.envoy.stage import Stage
from sandbox.errors import ConfigError, PreconditionError, StackError
from sandbox.stack import FILTER_NAME, PARKED_NAMES
from sandbox.wait import Deadline

ASK_EVERY_S = 0.01
COMPILE_S = 60.0
"""How long Envoy may take over a module: 1.2 s for each MB of code on two cores, and 64 MB at the most are taken."""
TURN_S = 6.0
"""How long a swap waits for another one."""
GONE_S = 1.0
"""How long its admin interface may refuse connections before Envoy is gone."""
NO_ENVOY = "Envoy is not running, so that nothing can be swapped"

_log = getLogger(__name__)

Outcome = Literal["live", "unchanged", "refused"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Swap:
    """What became of a filter. `before` is the version that was live. Times are epoch seconds, UTC, and seconds.

    `laid_at_s` is when Envoy was given it: why it refused stands in its log from then on.
    """

    outcome: Outcome
    version: FilterVersion
    before: str
    laid_at_s: float
    elapsed_s: float


class GoneError(StackError):
    """Envoy is not there to take a filter."""


class BusyError(StackError):
    """Somebody else's filter is being swapped in, and that takes its time."""


class NoVersionError(ConfigError):
    """There is nothing to go back to."""


class Swapper:
    """Gives Envoy one filter after another, never two at a time."""

    def __init__(self, stage: Stage, client: AdminClient) -> None:
        self._stage = stage
        self._client = client
        self._turn = asyncio.Lock()

    async def swap(self, make: Callable[[History], FilterVersion]) -> Swap:
        """Make a version live, which `make` makes of what is live when its turn has come; the module is laid already.

        Raises: GoneError when Envoy is not there; BusyError; PreconditionError when the folder cannot be written; as `make`.
        """
        async with self._my_turn():
            history = self._history()
            return await self._make_live(history, make(history), remember=with_live)

    async def roll_back(self, name: str) -> Swap:
        """Go back to the version whose name begins so, without a name to the last one.

        Raises: NoVersionError where there is none; as `swap`.
        """
        async with self._my_turn():
            history = self._history()
            target = history.find(name)
            if target is None:
                raise _no_version(name)
            return await self._make_live(history, target, remember=without_live)

    @asynccontextmanager
    async def _my_turn(self) -> AsyncGenerator[None]:
        try:
            async with asyncio.timeout(TURN_S):
                await self._turn.acquire()
        except TimeoutError:
            raise BusyError("another swap is under way", hint="sandbox status") from None
        try:
            yield
        finally:
            self._turn.release()

    def _history(self) -> History:
        history = self._stage.read_history()
        if history is None:
            raise GoneError("what was laid before Envoy is gone", hint="sandbox down, then sandbox up")
        return history

    async def _make_live(
        self, history: History, version: FilterVersion, *, remember: Callable[[History, FilterVersion], History]
    ) -> Swap:
        live, begun = history.live, Deadline(COMPILE_S)
        before = await self._ask(begun)
        if version.version == live.version == before.get(_VERSION):
            return Swap(outcome="unchanged", version=live, before=live.version, laid_at_s=live.since_s, elapsed_s=begun.elapsed_s)
        laid_at_s = time.time()
        # The live module is parked before Envoy would let go of it.
        if (place := history.place_for_live(version.module_sha256)) is not None:
            self._stage.park(place, live.text, live.module_sha256)
        self._stage.lay(version.text)
        after: Mapping[str, int | str] = {}
        try:
            after = await self._await_verdict(before, version.version, begun)
        finally:
            taken = after.get(_VERSION) == version.version
            history = _with_parked(history, after) if after else history
            if not taken:
                # Else an Envoy that is started again would have nothing but what it refused.
                self._stage.lay(live.text)
                self._stage.write_history(history)
        version = replace(version, since_s=time.time(), fetches_before=admin.parse_fetches(after))
        if taken:
            try:
                self._stage.write_history(remember(history, version))
            except PreconditionError:  # the disk is full: what is not remembered is not live
                self._stage.lay(live.text)
                raise
            _log.info("filter %s is live, from %s", version.version, version.origin)
        return Swap(
            outcome="live" if taken else "refused",
            version=version,
            before=live.version,
            laid_at_s=laid_at_s,
            elapsed_s=begun.elapsed_s,
        )

    async def _await_verdict(self, before: Mapping[str, int | str], version: str, deadline: Deadline) -> Mapping[str, int | str]:
        """What Envoy counts when it has taken the version or refused it."""
        while not deadline.over:
            stats = await self._ask(deadline)
            refused = any(admin.parse_number(stats, name) > admin.parse_number(before, name) for name in _REFUSALS)
            if stats.get(_VERSION) == version or refused:
                return stats
            await asyncio.sleep(ASK_EVERY_S)
        raise GoneError(f"Envoy did not say within {deadline.timeout_s:g} s whether it takes the filter", hint="sandbox status")

    async def _ask(self, deadline: Deadline) -> Mapping[str, int | str]:
        """What Envoy counts about its filters, and the filter about its token. While it compiles a module it does not answer.

        Raises: GoneError.
        """
        query = {"format": "json", "filter": _ASKED_STATS}
        patience = Deadline(GONE_S)
        while True:
            try:
                return admin.parse_stats(await self._client.read("/stats", timeout_s=max(deadline.remaining_s, 0.1), query=query))
            except AdminError as error:
                if error.busy or patience.over:
                    raise GoneError(error.message if error.busy else NO_ENVOY, hint="sandbox status") from error
            await asyncio.sleep(ASK_EVERY_S)


def _no_version(name: str) -> NoVersionError:
    if name:
        return NoVersionError("there is no such version to go back to", hint="sandbox status lists the versions")
    message = "no other filter was live since this stack was started"
    return NoVersionError(message, hint="sandbox swap FILE.wasm makes another one live")


def _with_parked(history: History, stats: Mapping[str, int | str]) -> History:
    """With what is parked by Envoy's own word: a filter can dislike being parked, and a project have no place for it."""
    known = history.modules
    parked = (stats.get(f"{_STATS}.{name}.version_text") for name in PARKED_NAMES)
    return replace(history, parked=tuple(str(sha256) if sha256 in known else None for sha256 in parked))


_STATS = "extension_config_discovery.http_filter"
_ASKED_STATS = rf"^({_STATS}\.({'|'.join((FILTER_NAME, *PARKED_NAMES))})\.|{re.escape(admin.FETCH)})"
_VERSION = f"{_STATS}.{FILTER_NAME}.version_text"
_REFUSALS = (f"{_STATS}.{FILTER_NAME}.update_rejected", f"{_STATS}.{FILTER_NAME}.update_failure")
