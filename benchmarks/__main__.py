"""Run every benchmark and print one table. Ratios within one run; absolutes are this machine's, today."""

import argparse

from benchmarks.docker import compare_docker, why_no_engine
from benchmarks.measure import Comparison
from benchmarks.observe import measure_observing, why_no_load
from benchmarks.startup import compare_help, compare_up


def main() -> None:
    """Parse the number of rounds, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", choices=("help", "local", "observe", "docker"))
    flags = parser.parse_args()
    print(f"{'what':<22} {'median':>9}   {'against':<20} {'median':>9}   {'ratio':>6} {'aim':>6}   rounds")
    if flags.only in (None, "help"):
        _show(compare_help(flags.rounds * 2))
    if flags.only in (None, "local"):
        _show(compare_up(flags.rounds, "tinygo"))
        _show(compare_up(flags.rounds, "go"))
    if flags.only in (None, "observe"):
        _show_observing(flags.rounds)
    if flags.only in (None, "docker"):
        missing = why_no_engine()
        if missing:
            print(f"sandbox up (docker)    not measured: {missing}")
            return
        row, containers = compare_docker(flags.rounds)
        _show(row)
        print(f"by compose, medians:\n{containers}")


def _show(row: Comparison) -> None:
    print(
        f"{row.ours:<22} {row.ours_s:>7.3f} s   {row.other:<20} {row.other_s:>7.3f} s   "
        f"{row.ratio:>6.2f} {row.limit:>6.2f}   {row.rounds}",
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
        print(
            f"{found.ours:<22} {found.ours_per_s:>7.0f}/s   {found.other:<20} {found.other_per_s:>7.0f}/s   "
            f"{found.ratio:>6.2f} {'≥' + format(found.limit, '.2f'):>6}   {found.rounds}",
            flush=True,
        )


if __name__ == "__main__":
    main()
