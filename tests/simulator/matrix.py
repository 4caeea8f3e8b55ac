"""One SHA-256: workers, interleavings, batchings and crashes, live and replayed, and partitions.

python -m tests.simulator.matrix [--interleavings 20] [--jobs 2]

| stream | over | alike are |
|---|---|---|
| late, bad and repeated records | 1, 2, 4, 8 workers × interleavings × {live, replay} | all |
| with a silent partition | the same | each live run and its own replay |
| nothing late | the same × 1, 2, 8 partitions | all |

Every interleaving is another schedule: other batches, crashes, zombies, rebalances. A replay is the
pipeline of `leeway backtest` over the topics and the journal that the live run has left behind, in
batches of its own.
What silence decides is journaled, so two live runs with silences may differ; none differs from
what its journal replays.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import product
from multiprocessing import get_context
from random import Random

from tests.simulator.events import LIVELY, TINY, draw_events
from tests.simulator.oracle import journal_of, undisturbed
from tests.simulator.scenario import Scenario, scenario_of
from tests.simulator.simulation import Simulation
from tests.simulator.slot import SETTINGS
from tests.simulator.verdict import faults_of
from tests.streams import dealt, with_maturity

WORKERS = (1, 2, 4, 8)
KINDS = {"untidy": (2,), "silent": (2,), "tidy": (1, 2, 8)}
"""Streams, and over how many partitions each is dealt."""

_FAULTS = 6


@dataclass(frozen=True)
class Cell:
    kind: str
    partitions: int
    workers: int
    interleaving: int

    @property
    def name(self) -> str:
        return f"{self.kind} {self.partitions} {self.workers} {self.interleaving}"


@dataclass(frozen=True)
class Outcome:
    cell: Cell
    live: str  # SHA-256 of the alerts, sorted, each once
    replay: str
    alerts: int
    disturbances: int  # crashes, zombies, rebalances
    advances: int  # by silence
    faults: tuple[str, ...]


def run(cell: Cell) -> Outcome:
    scenario = replace(_scenario(cell.kind, cell.partitions), workers=cell.workers, faults=_FAULTS)
    done = Simulation(scenario, Random(cell.name)).run()
    replayed = undisturbed(scenario, done.log, journal_of(done.log), Random(f"replay {cell.name}"))
    told = {e.value for e in done.log.whole(SETTINGS.topics.alerts) if e.value is not None}
    happened = done.happened
    return Outcome(
        cell,
        live=_sha(told),
        replay=_sha(alert.value for alert in replayed.alerts),
        alerts=len(told),
        disturbances=happened["crash"] + happened["zombie"] + happened["rebalance"],
        advances=happened["idle advances"],
        faults=tuple(faults_of(done)),
    )


def cells(interleavings: int, workers: Iterable[int] = WORKERS) -> Iterator[Cell]:
    for kind, partitions in KINDS.items():
        for dealt_over, count, i in product(partitions, workers, range(interleavings)):
            yield Cell(kind, dealt_over, count, i)


def outcomes(given: Iterable[Cell], jobs: int = 2) -> list[Outcome]:
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        return list(pool.map(run, given, chunksize=5))


def differing(results: Iterable[Outcome]) -> list[str]:
    """What is not alike and should be; empty: nothing."""
    wrong = [f"{r.cell.name}: {fault}" for r in results for fault in r.faults]
    for kind in KINDS:
        of_kind = [r for r in results if r.cell.kind == kind]
        wrong += [f"{r.cell.name}: live is not its replay" for r in of_kind if r.live != r.replay]
        seen = {r.live for r in of_kind}
        if kind != "silent" and len(seen) > 1:
            wrong.append(f"{kind}: {len(seen)} different SHA-256: {sorted(seen)}")
    return wrong


@lru_cache
def _scenario(kind: str, partitions: int) -> Scenario:
    """The same events for any count of partitions."""
    random = Random(f"matrix {kind}")
    rules = with_maturity(TINY, "auto")
    theme = replace(LIVELY, is_tidy=kind == "tidy")
    stream = dealt(*draw_events(random, theme), partitions)
    return scenario_of(
        f"{kind} {partitions}", random, rules, stream, idle_s=1.0 if kind == "silent" else None
    )


def _sha(values: Iterable[bytes]) -> str:
    return hashlib.sha256(b"\n".join(sorted(set(values)))).hexdigest()


def main() -> int:
    parser = argparse.ArgumentParser("matrix", description=__doc__.splitlines()[0])
    parser.add_argument("--interleavings", type=int, default=20)
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    given = parser.parse_args()
    results = outcomes(cells(given.interleavings), given.jobs)
    for (kind, partitions), count in product(KINDS.items(), WORKERS):
        _print_row(kind, partitions, count, results)
    wrong = differing(results)
    print("\n".join(wrong), file=sys.stderr)
    print(f"{len(results)} runs, each live and replayed; {len(wrong)} differences")
    return 1 if wrong else 0


def _print_row(
    kind: str, partitions: tuple[int, ...], workers: int, results: list[Outcome]
) -> None:
    row = [r for r in results if (r.cell.kind, r.cell.workers) == (kind, workers)]
    hashes = sorted({r.live for r in row})
    told = hashes[0] if len(hashes) == 1 else f"{len(hashes)} live runs' own"
    print(
        f"{kind:7} partitions {','.join(map(str, partitions)):5} workers {workers}: {told}, "
        f"{max(r.alerts for r in row)} alerts, {len(row)} runs, "
        f"{sum(r.disturbances for r in row)} disturbances, "
        f"{sum(r.advances for r in row)} advances by silence"
    )


if __name__ == "__main__":
    sys.exit(main())
