"""Many seeds, and what became of each."""

from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from random import Random

from tests.simulator.scenario import draw
from tests.simulator.simulation import Simulation
from tests.simulator.verdict import faults_of
from tests.simulator.worker import Protocol


@dataclass(frozen=True)
class Result:
    seed: int
    faults: list[str]
    trace: str
    steps: int
    happened: Counter[str]

    def told(self) -> str:
        """What went wrong, and the one command that shows it again."""
        lines = "\n  ".join(self.faults[:12])
        return f"seed {self.seed}: python -m tests.simulator --seed {self.seed}\n  {lines}"


def simulate(seed: int, protocol: Protocol | None = None) -> Result:
    random = Random(seed)
    simulation = Simulation(draw(random), random, protocol=protocol)
    try:
        run = simulation.run()
        faults = faults_of(run)
    except Exception:  # noqa: BLE001 whatever it was belongs to this seed
        return Result(seed, [traceback.format_exc()], simulation.log.trace_hash(), 0, Counter())
    return Result(seed, faults, run.log.trace_hash(), run.steps, run.happened)


def sweep(
    seeds: Iterable[int], processes: int = 2, protocol: Protocol | None = None
) -> list[Result]:
    """In order of the seeds."""
    with ProcessPoolExecutor(processes) as pool:
        return list(pool.map(partial(simulate, protocol=protocol), seeds, chunksize=10))
