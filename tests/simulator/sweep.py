"""Many seeds, and what became of each."""

from __future__ import annotations

import gc
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import combinations
from multiprocessing import get_context
from random import Random
from typing import TypeVar

from tests.simulator.scenario import CALM, SCHEDULES, calm, draw
from tests.simulator.simulation import Simulation
from tests.simulator.verdict import faults_of
from tests.simulator.worker import Protocol

_CHUNK = 2 * SCHEDULES  # a process keeps to a stream: what is said of it is known there
Input = TypeVar("Input")


@dataclass(frozen=True)
class Result:
    which: str  # the arguments that run it again
    faults: list[str]
    trace: str
    steps: int
    happened: Counter[str]

    boundaries: int = 0

    def told(self) -> str:
        """What went wrong, and the one command that shows it again."""
        lines = "\n  ".join(self.faults[:12])
        return f"python -m tests.simulator {self.which}\n  {lines}"


def simulate(seed: int, protocol: Protocol | None = None) -> Result:
    random = Random(seed)
    return _result(f"--seed {seed}", Simulation(draw(random, seed), random, protocol=protocol))


def crashed(at: tuple[int, ...], name: str = CALM) -> Result:
    """A calm scenario, with a crash right behind each of these I/O boundaries."""
    which = "--crash-at " + ",".join(map(str, at)) + (f" --calm '{name}'" if name != CALM else "")
    return _result(which, Simulation(calm(name), Random(name), crash_at=frozenset(at)))


def _result(which: str, simulation: Simulation) -> Result:
    try:
        run = simulation.run()
        faults = faults_of(run)
    except Exception:  # noqa: BLE001 whatever it was, it belongs to this run
        trace = simulation.log.trace_hash()
        return Result(which, [traceback.format_exc()], trace, 0, simulation.happened)
    trace = run.log.trace_hash()
    return Result(which, faults, trace, run.steps, run.happened, run.boundaries)


def sweep(
    seeds: Iterable[int], jobs: int = 2, protocol: Protocol | None = None
) -> Iterator[Result]:
    """In order of the seeds."""
    return _each(partial(simulate, protocol=protocol), seeds, jobs)


def crash_everywhere(crashes: int, jobs: int = 2, name: str = CALM) -> Iterator[Result]:
    """With this many crashes a run, at every choice of places."""
    boundaries = crashed((), name).boundaries
    places = combinations(range(1, boundaries + 1), crashes)
    return _each(partial(crashed, name=name), places, jobs)


def _each(run: Callable[[Input], Result], inputs: Iterable[Input], jobs: int) -> Iterator[Result]:
    spawn = get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=spawn, initializer=_seldom_collect) as pool:
        yield from pool.map(run, inputs, chunksize=_CHUNK)


def _seldom_collect() -> None:
    """The cycles of a run are few, and looking for them took a fifth of the time."""
    gc.freeze()
    gc.set_threshold(200_000, 10, 10)
