"""What it costs that exchanges can be seen, what a viewer gets of them at full load, and what happens beyond that."""

import contextlib
import http.client
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.loaded import DIRECT, LoadedStack, running_stacks
from benchmarks.measure import Pairs
from benchmarks.processor import Cost, Others, Usage
from benchmarks.sending import Load, Sending
from benchmarks.taps import ECHO, compare_taps
from benchmarks.view import Memory, View
from benchmarks.viewer import watching

LOAD_S = 2.5
FIRST_LOAD_S = 0.5
"""In the round that does not count."""
WARM_UP_S = 0.5
"""What is sent before that does not count in what is sent a second."""
ATTACH_AFTER_S = 0.3
"""So long after a load of Envoy's own answers began a viewer comes."""

LIMIT = 0.75

FLOOD_S = 1.5
RECENT_S = 0.5
"""A view with less lag is live."""
PROBE_EVERY_S = 0.05
LIVE_TIMEOUT_S = 120.0


class Observing:
    """Two stacks of which one at a time is under load.

    Two, because a stack that was flooded while it was watched goes on to show a part of the requests only, for a while.
    """

    def __init__(self, load: Load, stacks: dict[str, LoadedStack], others: Others) -> None:
        self._load = load
        self._others = others
        self._stacks = {ECHO: stacks["echo"], DIRECT: stacks["direct"]}
        self.views: dict[str, View] = {}

    def measure(self, rounds: int) -> Iterator[Pairs]:
        """Watched and not, in turn, there and back, first once without counting."""
        for path, stack in self._stacks.items():
            self._run(stack, path, FIRST_LOAD_S, View())
            self._run_watched(stack, path, FIRST_LOAD_S, View())
        measured: dict[str, list[tuple[tuple[float, float], tuple[float, float]]]] = {path: [] for path in self._stacks}
        for number in range(rounds):
            for path, stack in self._stacks.items():
                view = self.views.setdefault(f"watched, {path}", View())
                if number % 2:
                    ours = self._run_watched(stack, path, LOAD_S, view)
                    other = self._run(stack, path, LOAD_S, view)
                else:
                    other = self._run(stack, path, LOAD_S, view)
                    ours = self._run_watched(stack, path, LOAD_S, view)
                measured[path].append((ours, other))
        for path, found in measured.items():
            rates = tuple((ours[0], other[0]) for ours, other in found)
            costs = tuple((ours[1], other[1]) for ours, other in found)
            yield Pairs(ours=f"watched, {path}", other=f"nobody watches, {path}", unit="/s", pairs=rates, limit=LIMIT)
            yield Pairs(ours=f"watched, {path}", other=f"nobody watches, {path}", unit="µs", pairs=costs, limit=LIMIT)

    def _run(self, stack: LoadedStack, path: str, load_s: float, view: View) -> tuple[float, float]:
        """Requests a second, and what each took of the processors in microseconds, all processes together."""
        stack.become_quiet()
        usage = Usage(stack.processes)
        with self._others.beside(usage), self._load.sending(stack.address, path, seconds=WARM_UP_S + load_s) as sending:
            sent = sending.finish()
        cost = Cost.find(usage, sent.requests, sent)
        view.unwatched.append(cost)
        return sent.rate(sent.began_s + WARM_UP_S), cost.total_us

    def _run_watched(self, stack: LoadedStack, path: str, load_s: float, view: View) -> tuple[float, float]:
        stack.become_quiet()
        with contextlib.ExitStack() as room:

            def send() -> Sending:
                return room.enter_context(self._load.sending(stack.address, path))

            sending = send() if path == DIRECT else None
            if sending:
                time.sleep(ATTACH_AFTER_S)
            viewer = room.enter_context(watching(stack))
            if not sending:
                stack.become_quiet()
            usage = Usage({**stack.processes, "viewer": viewer.process})
            memory = Memory({"envoy": stack.processes["envoy"], "console": stack.processes["console"], "viewer": viewer.process})
            with self._others.beside(usage), memory.following():
                if not sending:
                    sending = send()
                    time.sleep(WARM_UP_S)
                time.sleep(load_s)
                sent = sending.finish(now=True)
                viewer.await_rest(sent.requests - sent.until(viewer.attached_s))
            view.add(viewer, sent, memory)
        cost = Cost.find(usage, sent.requests - sent.until(viewer.attached_s), sent)
        view.watched.append(cost)
        return sent.rate(max(sent.began_s + WARM_UP_S, viewer.attached_s)), cost.total_us

    def overwhelm(self) -> Iterator[str]:
        """More than Envoy can show, all of a sudden, while all of it is to be shown. Lines to print."""
        stack = self._stacks[ECHO]
        stack.become_quiet()
        with watching(stack) as viewer:
            stack.become_quiet()
            memory = Memory({"envoy": stack.processes["envoy"]})
            with memory.following():
                with self._load.sending(stack.address, DIRECT, seconds=FLOOD_S) as sending:
                    sent = sending.finish()
                with _probing(stack.address):
                    live_s = viewer.await_recent(sent.ended_s, lag_s=RECENT_S, timeout_s=LIVE_TIMEOUT_S)
        after = f"after {live_s - sent.ended_s:.1f} s" if live_s else f"not within {LIVE_TIMEOUT_S:g} s"
        yield f"  {sent.requests} requests in {sent.ended_s - sent.began_s:.1f} s, live again {after}; shares {viewer.shares}"
        yield f"  envoy's resident memory: {memory.first['envoy']:.0f} MB before, {memory.peak['envoy']:.0f} MB at most"


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


def measure_observing(rounds: int) -> Iterator[Pairs | str]:
    """Rows of pairs, then lines of text."""
    with tempfile.TemporaryDirectory(prefix="sandbox-bench-") as folder, running_stacks("echo", "direct") as stacks:
        load, others = Load(Path(folder)), Others()
        observing = Observing(load, stacks, others)
        yield from compare_taps(load, stacks["echo"], rounds, others)
        yield from observing.measure(rounds)
        yield others.describe()
        for name, view in observing.views.items():
            yield f"{name}:"
            yield from view.describe()
        yield f"a load of {DIRECT} that begins while everything is watched:"
        yield from observing.overwhelm()
