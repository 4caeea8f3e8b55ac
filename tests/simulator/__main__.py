"""`python -m tests.simulator --seed N` runs one seed; `--seeds A..B` all of a range (B excluded)."""

from __future__ import annotations

import argparse
import sys

from tests.simulator.sweep import Result, simulate, sweep


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int, help="one seed, and everything that happened in it")
    what.add_argument("--seeds", metavar="A..B", help="all seeds from A to before B")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if given.seed is not None:
        return _report([simulate(given.seed)])
    first, _, last = given.seeds.partition("..")
    return _report(sweep(range(int(first), int(last)), given.processes))


def _report(results: list[Result]) -> int:
    failed = [result for result in results if result.faults]
    for result in failed:
        print(result.told(), file=sys.stderr)
    total = sum((result.happened for result in results), start=type(results[0].happened)())
    print(f"{len(results)} seeds, {len(failed)} failed; " + str(dict(sorted(total.items()))))
    if len(results) == 1:
        print(f"trace {results[0].trace}, {results[0].steps} steps")
    return 1 if failed else 0


sys.exit(main())
