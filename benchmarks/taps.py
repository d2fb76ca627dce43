"""What the taps cost while nobody watches: one Envoy, with them and without them in turn."""

from collections.abc import Iterator

from benchmarks.loaded import DIRECT, LoadedStack
from benchmarks.measure import Pairs
from benchmarks.processor import Others, Usage
from benchmarks.sending import Load

ECHO = "/"
COUNTS = {ECHO: 400, DIRECT: 2_000}
"""Requests at a time: a tenth of a second of load each, for what disturbs a machine lasts longer, and then disturbs both."""
PAIRS = 16
"""In a round: the difference that is looked for is a fiftieth, and pairs differ by a tenth."""
LIMIT = 0.98


def compare_taps(load: Load, stack: LoadedStack, rounds: int, others: Others) -> Iterator[Pairs]:
    """By Envoy's processor time for a request, and by requests a second; pairs are there and back in turn."""

    def run(address: str, path: str, count: int) -> tuple[float, float]:
        usage = Usage(stack.processes)
        with others.beside(usage), load.sending(address, path, count=count) as sending:
            sent = sending.finish()
        return usage.of["envoy"] / sent.requests * 1e6, sent.rate(sent.began_s)

    for path, count in COUNTS.items():
        addresses = (stack.address, stack.without_taps)
        for address in addresses:
            run(address, path, count)
        stack.become_quiet()
        measured = []
        for number in range(PAIRS * rounds):
            turn = addresses if number % 2 else addresses[::-1]
            found = {address: run(address, path, count) for address in turn}
            measured.append(tuple(found[address] for address in addresses))
        for place, unit in ((0, "µs"), (1, "/s")):
            pairs = tuple((ours[place], other[place]) for ours, other in measured)
            yield Pairs(ours=f"nobody watches, {path}", other=f"without taps, {path}", unit=unit, pairs=pairs, limit=LIMIT)
