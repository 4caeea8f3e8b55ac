"""Runs of the simulator.

python -m tests.simulator --seed N          one seed, and everything that happened in it
python -m tests.simulator --seeds A..B      all seeds from A to before B
python -m tests.simulator --boundaries 1    a crash at every I/O boundary of a fixed scenario
python -m tests.simulator --boundaries 2    crashes at every pair of them
python -m tests.simulator --crash-at K,L    crashes at these boundaries of it

--without RULE leaves out a rule of taking over (see `Protocol`): some seeds then fail.

A seed is a stream of events under some rules (ten seeds share one) and a schedule: who does what
when, and what goes wrong. The same seed does the same, to the byte: its trace says so.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Iterable
from dataclasses import fields

from tests.simulator.scenario import CALM
from tests.simulator.sweep import Result, crash_everywhere, crashed, simulate, sweep
from tests.simulator.worker import Protocol

_TOLD_EVERY = 1_000  # runs


def main() -> int:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("simulator", description=__doc__, formatter_class=style)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--seed", type=int)
    what.add_argument("--seeds", metavar="A..B")
    what.add_argument("--boundaries", type=int, choices=(1, 2))
    what.add_argument("--crash-at", metavar="K,L")
    parser.add_argument("--calm", default=CALM, metavar="NAME", help="the stream of crashes")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--without", choices=[rule.name for rule in fields(Protocol)])
    given = parser.parse_args()
    rule = {} if given.without is None else {given.without: False}
    protocol = Protocol(**rule)
    if given.seed is not None:
        return _report([simulate(given.seed, protocol)], is_told=True)
    if given.crash_at is not None:
        at = tuple(int(k) for k in given.crash_at.split(","))
        return _report([crashed(at, given.calm)], is_told=True)
    if given.boundaries is not None:
        return _report(crash_everywhere(given.boundaries, given.jobs, given.calm))
    first, _, last = given.seeds.partition("..")
    return _report(sweep(range(int(first), int(last)), given.jobs, protocol))


def _report(results: Iterable[Result], *, is_told: bool = False) -> int:
    """What failed at once, the sum of what happened at the end."""
    runs = failed = steps = 0
    happened: Counter[str] = Counter()
    for result in results:
        runs, steps = runs + 1, steps + result.steps
        happened.update(result.happened)
        if result.faults:
            failed += 1
            print(result.told(), file=sys.stderr, flush=True)
        if is_told:
            print(f"trace {result.trace}")
        if runs % _TOLD_EVERY == 0:
            print(f"so far: {runs} runs, {failed} failed", file=sys.stderr, flush=True)
    print(f"{runs} runs, {failed} failed, {steps} steps; {dict(sorted(happened.items()))}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
