"""Runs of the simulator.

python -m tests.simulator --seed N          one seed, and everything that happened in it
python -m tests.simulator --seeds A..B      all seeds from A to before B
python -m tests.simulator --boundaries 1    a crash at every I/O boundary of a fixed scenario
python -m tests.simulator --boundaries 2    crashes at every pair of them (about an hour)
python -m tests.simulator --crash-at K,L    crashes at these boundaries of it
"""

from __future__ import annotations

import argparse
import sys

from tests.simulator.sweep import Result, crash_everywhere, crashed, simulate, sweep


def main() -> int:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("simulator", description=__doc__, formatter_class=style)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int)
    what.add_argument("--seeds", metavar="A..B")
    what.add_argument("--boundaries", type=int, choices=(1, 2))
    what.add_argument("--crash-at", metavar="K,L")
    parser.add_argument("--processes", type=int, default=2)
    given = parser.parse_args()
    if given.seed is not None:
        return _report([simulate(given.seed)])
    if given.crash_at is not None:
        return _report([crashed(tuple(int(k) for k in given.crash_at.split(",")))])
    if given.boundaries is not None:
        return _report(crash_everywhere(given.boundaries, given.processes))
    first, _, last = given.seeds.partition("..")
    return _report(sweep(range(int(first), int(last)), given.processes))


def _report(results: list[Result]) -> int:
    failed = [result for result in results if result.faults]
    for result in failed:
        print(result.told(), file=sys.stderr)
    total = sum((result.happened for result in results), start=type(results[0].happened)())
    print(f"{len(results)} runs, {len(failed)} failed; " + str(dict(sorted(total.items()))))
    if len(results) == 1:
        print(f"trace {results[0].trace}, {results[0].steps} steps")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
