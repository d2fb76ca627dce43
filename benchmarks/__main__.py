"""Run every benchmark and print one table. Ratios within one run; absolutes are this machine's, today."""

import argparse

from benchmarks.docker import compare_docker, why_no_engine
from benchmarks.measure import Comparison
from benchmarks.observe import measure_observing
from benchmarks.sending import why_no_load
from benchmarks.startup import compare_help, compare_up
from benchmarks.swap import measure_swap


def main() -> None:
    """Parse the number of rounds, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("help", "local", "observe", "swap", "docker"))
    flags = parser.parse_args()
    print(f"{'what':<22} {'median':>9}   {'against':<20} {'median':>9}   {'ratio':>6} {'aim':>6}   rounds")
    if flags.only in (None, "help"):
        _show(compare_help(flags.rounds * 2))
    if flags.only in (None, "local"):
        _show(compare_up(flags.rounds, "tinygo"))
        _show(compare_up(flags.rounds, "go"))
    if flags.only in (None, "observe"):
        _show_observing(flags.rounds)
    if flags.only in (None, "swap"):
        _show_swapping(flags.rounds)
    if flags.only in (None, "docker"):
        missing = why_no_engine()
        if missing:
            print(f"sandbox up (docker)    not measured: {missing}")
            return
        row, containers = compare_docker(flags.rounds)
        _show(row)
        print(f"by compose, medians:\n{containers}")


def _show(row: Comparison) -> None:
    aim = "" if row.limit is None else f"{row.limit:.2f}"
    print(
        f"{row.ours:<22} {row.ours_s:>7.3f} s   {row.other:<20} {row.other_s:>7.3f} s   "
        f"{row.ratio:>6.2f} {aim:>6}   {row.rounds}",
        flush=True,
    )


def _show_observing(rounds: int) -> None:
    missing = why_no_load()
    if missing:
        print(f"watching               not measured: {missing}")
        return
    for found in measure_observing(rounds):
        if isinstance(found, str):
            print(found, flush=True)
            continue
        ours, other = found.medians
        low, high = found.quartiles
        pairs = f"{len(found.pairs)}, half of them {low:.2f} to {high:.2f}"
        print(
            f"{found.ours:<22} {ours:>6.0f} {found.unit}   {found.other:<20} {other:>6.0f} {found.unit}   "
            f"{found.ratio:>6.2f} {'≥' + format(found.limit, '.2f'):>6}   {pairs}",
            flush=True,
        )


def _show_swapping(rounds: int) -> None:
    missing = why_no_engine()
    for found in measure_swap(rounds, ("local",) if missing else ("local", "docker")):
        if isinstance(found, str):
            print(found, flush=True)
        else:
            _show(found)
    if missing:
        print(f"save to live (docker)  not measured: {missing}")


if __name__ == "__main__":
    main()
