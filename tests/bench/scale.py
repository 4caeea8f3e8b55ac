"""What an event costs with more models, features, pending predictions and workers.

    scripts/bench scale                     about three minutes
    scripts/bench scale --long              up to 10 million pending predictions

Models and features: all stages in this process, events by processor time, in turns. Each row of
models is the same stream dealt over more models, young ones where they are many (grown: what comes
when they have their references); each row of features has about as many
feature-updates. Pending: `scripts/bench pending`. Memory: of stage 2, held and resident, with a
reference, a full window and detectors for each series. Workers: processes on a real Kafka.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import subprocess
import sys
import tempfile
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from stream.allocator import collect_rarely, keep_freed_memory, keep_no_arrays
from stream.pipeline import Pipeline
from stream.rules import ReferenceRule
from tests.bench.core import PARTITIONS, feed, run
from tests.bench.environments import ROOT
from tests.bench.kafka_job import create_topics, end_ms, job, produce, work
from tests.bench.measure import Spread, cpu_s, interleaved, ratios, table
from tests.bench.pending import measure as measure_pending
from tests.bench.workload import RULES, Workload, batches, generate
from tests.integration.kafka import real_kafka

MODELS = (1, 10, 100, 1_000)
FEATURES = {10: 100_000, 100: 20_000, 1_000: 5_000}
"""Of an event -> predictions: the widest events are 20 kB each."""
PENDING = (10_000, 100_000, 1_000_000)
WORKERS = (1, 2)
_PER_SECOND = 5_000  # near what a worker can do, where its rate matters
_MANY = 8  # times the predictions of the other parts: to start and to join takes a worker .3 s
_REPETITIONS = 2
_GROWN = Workload(predictions=45_000, models=30, per_second=150)
_SOON = ReferenceRule(predictions=600, span_ms=60_000)
_SEALED = 0.6  # of the stream: references are sealed by then


def over_models(predictions: int) -> dict[str, Any]:
    of = {m: Workload(predictions=predictions, models=m, per_second=_PER_SECOND) for m in MODELS}
    rates = _rates(of)
    return {
        "events": 2 * predictions,
        "predictions_per_s": _PER_SECOND,
        "events_per_cpu_s": {str(m): Spread.of(r).plain() for m, r in rates.items()},
        "kept_1000_of_10": ratios(rates[1_000], rates[10]).plain(),
    }


def grown() -> dict[str, Any]:
    """Models with sealed references: what a pane of a few rows costs there."""
    fed = list(batches(generate(_GROWN), PARTITIONS, records=10 * _GROWN.models))
    begun = int(len(fed) * _SEALED)
    rates: dict[int, list[float]] = {_GROWN.models: [], 0: []}  # by how many stay awake
    for _ in range(_REPETITIONS):
        for awake, found in rates.items():
            rules = replace(RULES, reference=_SOON)
            pipeline = Pipeline(rules, PARTITIONS, awake=2 * awake)
            feed(pipeline, fed[:begun], end=False)
            assert len(pipeline.references) >= _GROWN.models, len(pipeline.references)
            events = sum(len(records.values) for _, records in fed[begun:])
            found.append(events / cpu_s(partial(feed, pipeline, fed[begun:], end=False)))
    rows = _GROWN.per_second / _GROWN.models * RULES.pane_ms / 1_000
    return {
        "models": _GROWN.models,
        "rows_a_pane": rows,
        "events_per_cpu_s": Spread.of(rates[_GROWN.models]).plain(),
        "us_a_pane": Spread.of([1e6 * rows / rate for rate in rates[_GROWN.models]]).plain(),
        "all_asleep": ratios(rates[0], rates[_GROWN.models]).plain(),
    }


def over_features() -> dict[str, Any]:
    of = {n: Workload(predictions=events, features=n) for n, events in FEATURES.items()}
    rates = _rates(of)
    ns = {n: [1e9 / (rate / 2 * n) for rate in r] for n, r in rates.items()}
    return {
        "predictions": {str(n): events for n, events in FEATURES.items()},
        "ns_per_feature_update": {str(n): Spread.of(each).plain() for n, each in ns.items()},
        "cost_1000_of_10": ratios(ns[1_000], ns[10]).plain(),
    }


def _rates(of: dict[int, Workload]) -> dict[int, list[float]]:
    """Events by processor time, of each workload."""
    fed = {n: list(batches(generate(workload), PARTITIONS)) for n, workload in of.items()}
    works = {str(n): partial(run, each) for n, each in fed.items()}
    took = interleaved(works, _REPETITIONS)
    return {n: [workload.events / s for s in took[str(n)]] for n, workload in of.items()}


def over_pending(sizes: tuple[int, ...]) -> dict[str, Any]:
    found = {rows: measure_pending(rows, 20_000) for rows in sizes}
    return {
        str(rows): {name: one[name] for name in ("append_ns", "hit_ns", "miss_ns")}
        for rows, one in found.items()
    }


def memory() -> dict[str, Any]:
    """In a process of its own, where nothing else is resident."""
    command = [sys.executable, "-m", "tests.bench.series_memory"]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=7_200)
    found: dict[str, Any] = msgspec.json.decode(done.stdout)
    return found


async def over_workers(folder: Path, bootstrap: str, predictions: int) -> dict[str, Any]:
    workload = Workload(predictions=predictions)
    topics = generate(workload)
    rates: dict[int, list[float]] = {count: [] for count in WORKERS}
    clock: dict[int, list[float]] = {count: [] for count in WORKERS}
    with job(folder, "scale", bootstrap) as first:
        await create_topics(first)
        ends = await produce(first.settings, topics)
        for turn in range(_REPETITIONS):
            for count in WORKERS:
                inputs = first.settings.topics
                name = f"scale-{turn}-{count}"
                with job(folder, name, bootstrap, workers=count, inputs=inputs) as one:
                    await create_topics(one)
                    one.ends = ends
                    taken = await work(one, end_ms(topics))
                rates[count].append(taken.rate)
                clock[count].append(taken.events / taken.wall_s)
    return {
        "events": workload.events,
        "events_per_cpu_s": {str(n): Spread.of(r).plain() for n, r in rates.items()},
        "events_per_s": {str(n): Spread.of(r).plain() for n, r in clock.items()},
        "two_of_one": ratios(rates[2], rates[1]).plain(),
    }


def told(found: dict[str, Any]) -> str:
    """Of those parts that ran."""
    parts = {
        "models": _models_told,
        "grown": _grown_told,
        "features": _features_told,
        "pending": _pending_told,
        "memory": _memory_told,
        "workers": _workers_told,
    }
    return "\n\n".join(parts[name](one) for name, one in found.items())


def _models_told(found: dict[str, Any]) -> str:
    head = ("models", "events per CPU second")
    kept = Spread(**found["kept_1000_of_10"]).told(".2f")
    return (
        f"{table([head, *_rows(found['events_per_cpu_s'])])}\n1,000 models keep {kept} of the rate "
        f"of 10, at {found['predictions_per_s']:,} predictions a second in all"
    )


def _grown_told(found: dict[str, Any]) -> str:
    rate = Spread(**found["events_per_cpu_s"]).told()
    each = Spread(**found["us_a_pane"]).told()
    asleep = Spread(**found["all_asleep"]).told(".2f")
    return (
        f"{found['models']} models with sealed references, {found['rows_a_pane']:.0f} predictions "
        f"a pane of each: {rate} events per CPU second, {each} µs a pane of a model and kind; "
        f"where each sleeps between two panes {asleep} of that rate"
    )


def _features_told(found: dict[str, Any]) -> str:
    head = ("features", "ns per feature-update")
    cost = Spread(**found["cost_1000_of_10"]).told(".2f")
    rows = _rows(found["ns_per_feature_update"])
    return f"{table([head, *rows])}\nwith 1,000 features one costs {cost} of one of 10"


def _pending_told(found: dict[str, Any]) -> str:
    rows = [
        (f"{int(n):,}", *(f"{one[name] / 1e3:.2f}" for name in ("append_ns", "hit_ns", "miss_ns")))
        for n, one in found.items()
    ]
    return table([("pending", "append µs", "lookup, hit µs", "miss µs"), *rows])


def _memory_told(found: dict[str, Any]) -> str:
    resident, held, awake = (found[f"{n}_per_series"] / 1e3 for n in ("bytes", "held", "awake"))
    few, many = (f"{mb / 1e6:.0f} MB" for mb in found["bytes"])
    return (
        f"each further series takes {resident:.1f} kB of resident memory ({held:.1f} kB are held), "
        f"{awake:.1f} kB where nobody sleeps: {found['models'][0]} models of "
        f"{found['series'][0]:,} series take {few}, {found['models'][1]} take {many}"
    )


def _workers_told(found: dict[str, Any]) -> str:
    head = ("workers", "events per CPU second")
    share = Spread(**found["two_of_one"]).told(".2f")
    return (
        f"{table([head, *_rows(found['events_per_cpu_s'])])}\ntwo workers: {share} of the events "
        "per CPU second of one"
    )


def _rows(of: dict[str, Any]) -> list[tuple[str, str]]:
    return [(f"{int(n):,}", Spread(**each).told()) for n, each in of.items()]


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--long", action="store_true", help="also 10 million pending predictions")
    parser.add_argument("--predictions", type=int, default=200_000, help="over models and workers")
    parser.add_argument(
        "--only",
        choices=("models", "grown", "features", "pending", "memory", "workers"),
        help="one of them",
    )


def main(given: argparse.Namespace) -> dict[str, Any]:
    keep_freed_memory()  # as every command does
    keep_no_arrays()  # as a worker does
    collect_rarely()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader at first

    def workers() -> dict[str, Any]:
        with tempfile.TemporaryDirectory() as folder, real_kafka() as bootstrap:
            return asyncio.run(over_workers(Path(folder), bootstrap, _MANY * given.predictions))

    parts = {
        "models": lambda: over_models(given.predictions),
        "grown": grown,
        "features": over_features,
        "pending": lambda: over_pending((*PENDING, 10_000_000) if given.long else PENDING),
        "memory": memory,
        "workers": workers,
    }
    return {name: parts[name]() for name in parts if given.only in {None, name}}
