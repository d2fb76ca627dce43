"""Run every benchmark and print one table. Ratios within one run; absolutes are this machine's, today."""

import argparse

from benchmarks.startup import compare_help, compare_up


def main() -> None:
    """Parse the number of rounds, measure, print."""
    parser = argparse.ArgumentParser(prog="make bench")
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{'what':<22} {'median':>9}   {'against':<20} {'median':>9}   {'ratio':>6} {'aim':>6}   rounds")
    for measure in (
        lambda: compare_help(rounds * 2),
        lambda: compare_up(rounds, "tinygo"),
        lambda: compare_up(rounds, "go"),
    ):
        row = measure()
        print(
            f"{row.ours:<22} {row.ours_s:>7.3f} s   {row.other:<20} {row.other_s:>7.3f} s   "
            f"{row.ratio:>6.2f} {row.limit:>6.2f}   {row.rounds}",
            flush=True,
        )


if __name__ == "__main__":
    main()
