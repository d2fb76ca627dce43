"""One time of being attached to Envoy's taps: reads what they tell, and beside it what Envoy counts."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Mapping
from typing import NoReturn

from sandbox.console.ledger import Ledger
from sandbox.console.sampling import Sampling
from sandbox.console.viewers import Audience
from sandbox.envoy import admin
from sandbox.envoy.admin import AdminClient, AdminError
from sandbox.observe.tap import Assembler, SegmentReader

LOOK_EVERY_S = 0.1
LOOK_TIMEOUT_S = 10.0
GLANCE_S = 0.03
"""Between the two looks that tell how many requests there are, before the taps are attached."""
CHOKED_S = 0.15
"""So long without an answer Envoy's main thread has too much to do, or compiles a filter."""

TOO_MANY = "there are more requests than Envoy can show"

_STATS = {"format": "json", "filter": f"{admin.FILTER_STATS}|^{admin.INGRESS_REQUESTS}$|^{admin.INGRESS_ACTIVE}$"}


class Attachment:
    """Lasts until Envoy ends, or another share of the requests is to be seen.

    The audience is shown what it sees, and told again and again what became of taps, filter and token.
    """

    def __init__(self, client: AdminClient, sampling: Sampling, audience: Audience) -> None:
        self._client = client
        self._sampling = sampling
        self._audience = audience
        self._assembler = Assembler()

    async def stay(self, counted: int | None) -> int:
        """Attach and stay so; return up to which of Envoy's requests each was told of, or counted as dropped.

        `counted` is what the attachment before this one returned, if there was one just now: what came since is told as dropped.
        So at any re-attachment, seen + dropped is what Envoy counted.

        Raises: AdminError when Envoy ends, or does not let us.
        """
        before = await self._count()
        await asyncio.sleep(GLANCE_S)
        total = await self._count()
        if counted is not None:
            self._audience.drop(total - counted, TOO_MANY)
        self._sampling.choose(total - before, passed_s=GLANCE_S, now_s=time.monotonic())
        async with self._client.tap(id_suffix=self._sampling.id_suffix) as chunks:
            self._tell_attached(None)
            ledger = Ledger(self._sampling, first=total, now_s=time.monotonic())
            reading, looking = asyncio.create_task(self._read(chunks)), asyncio.create_task(self._look(ledger))
            try:
                await asyncio.wait({reading, looking}, return_when=asyncio.FIRST_COMPLETED)
                await (reading if reading.done() else looking)
            finally:
                reading.cancel()
                looking.cancel()
                await asyncio.gather(reading, looking, return_exceptions=True)
                self._audience.drop(self._assembler.pending, "the taps were detached before the answer")
            return ledger.accounted(self._assembler.begun)

    def _tell_attached(self, problem: str | None) -> None:
        self._audience.tell("tap", {"attached": True, "share": self._sampling.share, "reason": problem})

    async def _count(self) -> int:
        stats = admin.parse_stats(await self._client.read("/stats", timeout_s=LOOK_TIMEOUT_S, query=_STATS))
        return admin.parse_number(stats, admin.INGRESS_REQUESTS)

    async def _read(self, chunks: AsyncIterator[bytes]) -> NoReturn:
        reader = SegmentReader()
        async for data in chunks:
            for segment in reader.feed(data):
                if exchange := self._assembler.feed(segment, time_s=time.time(), now_s=time.monotonic()):
                    self._audience.show(exchange)
            self._give_up(begun_before_s=-math.inf)  # but of too many
        raise AdminError("Envoy ended")

    async def _look(self, ledger: Ledger) -> None:
        """Compare what Envoy counts with what is seen, until another share of the requests is to be seen."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            asked_s = time.monotonic()
            stats = await self._ask(ledger)
            if stats is None:
                return
            facts = admin.parse_filter(stats)
            self._audience.tell("filter", {"version": facts.version, "rejected": facts.rejected, "failed": facts.failed})
            self._audience.tell("token", {"age_s": facts.token_age_s, "fetches": dict(facts.fetches)})
            verdict = ledger.look(
                counted=admin.parse_number(stats, admin.INGRESS_REQUESTS),
                active=admin.parse_number(stats, admin.INGRESS_ACTIVE),
                begun=self._assembler.begun,
                asked_s=asked_s,
                now_s=time.monotonic(),
            )
            self._give_up(begun_before_s=verdict.over_before_s)
            self._audience.drop(verdict.dropped, TOO_MANY)
            if verdict.is_wrong:
                return

    async def _ask(self, ledger: Ledger) -> Mapping[str, int | str] | None:
        """Envoy's counts; None when it is choked by what we look at."""
        answer = asyncio.create_task(self._client.read("/stats", timeout_s=LOOK_TIMEOUT_S, query=_STATS))
        try:
            await asyncio.wait({answer}, timeout=CHOKED_S)
            if not answer.done():
                self._tell_attached("Envoy does not answer: it compiles a filter, or has more to show than it can")
                if ledger.is_choked(self._assembler.begun):
                    return None
            stats = admin.parse_stats(await answer)
            self._tell_attached(None)
            return stats
        finally:
            answer.cancel()
            await asyncio.gather(answer, return_exceptions=True)

    def _give_up(self, *, begun_before_s: float) -> None:
        for exchange in self._assembler.give_up(begun_before_s=begun_before_s):
            self._audience.show(exchange)
