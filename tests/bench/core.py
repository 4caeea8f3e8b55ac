"""All stages in one process: bytes in, panes, join, detectors, alerts out.

    scripts/bench core                      800,000 predictions and as many outcomes, 3 times
    scripts/bench core --per-second 100     denser or sparser in event time: fuller or emptier panes
    scripts/bench core --release-every 1    stage 2 is told of each batch, and not as in a backtest
    scripts/bench core --predictions 50000 --profile core.prof

xL is the rate over that of msgspec decoding the same bytes into a fixed Struct for each schema, in
the same process: what nobody who parses JSON in Python gets below. They take turns of a few
batches, so that a slow half-second of the machine slows both. Rates are events by processor time.
"""

from __future__ import annotations

import argparse
import cProfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from itertools import chain
from typing import Any
from unittest import mock

import msgspec

from detectors import native as of_detectors
from detectors.known_rows import forget_rows
from stream import native, record_columns, source_stage
from stream.allocator import collect_rarely, keep_freed_memory, keep_no_arrays
from stream.events import Records
from stream.pipeline import RELEASE_EVERY, Pipeline, imbalance
from stream.record_columns import Parser
from stream.shedding import Side
from tests.bench.measure import Spread, cpu_s, peak_memory_mb, ratios, table
from tests.bench.typed import typed
from tests.bench.workload import RULES, Workload, batches, generate

PARTITIONS = 4
PARSERS: tuple[Parser, ...] = ("python", "native") if native.IS_BUILT else ("python",)
REPETITIONS = 3
_LIMIT_RECORDS = 256
_TURN = 4  # batches
_READING = "of stage 1 reading"
_WITH = {"python": "Python and numpy alone", "native": "with the extension"}
Batches = list[tuple[Side, Records]]
Parsers = dict[str, Callable[[bytes], Any]]


def run(fed: Batches, rules: Any = RULES, partitions: int = PARTITIONS) -> Pipeline:
    """Everything, up to the end of the input; nothing is known of a run before."""
    forget_rows()
    pipeline = Pipeline(rules, partitions, release_every=RELEASE_EVERY)
    feed(pipeline, fed)
    return pipeline


def in_turns(fed: Batches, parse: Parsers, release_every: int) -> tuple[Pipeline, float, float]:
    """A run, and the CPU seconds of it and of the limit. What the limit reads in its turn is half
    of the run away: neither finds in the cache what the other has just read."""
    forget_rows()
    pipeline = Pipeline(RULES, PARTITIONS, release_every=release_every)
    middle = len(fed) // 2
    away = fed[middle:] + fed[:middle]
    took_s = limit_s = 0.0
    for first in range(0, len(fed), _TURN):
        turn = slice(first, first + _TURN)
        took_s += cpu_s(partial(feed, pipeline, fed[turn], end=False))
        limit_s += cpu_s(partial(decode, away[turn], parse))
    took_s += cpu_s(partial(pipeline.end_of_input, None))
    return pipeline, took_s, limit_s


def feed(pipeline: Pipeline, fed: Batches, *, end: bool = True) -> None:
    for side, records in fed:
        (pipeline.predictions if side == "predictions" else pipeline.outcomes)(records)
    if end:
        pipeline.end_of_input(None)


def parsers(workload: Workload) -> Parsers:
    """The limit's, of each side; to be made once: it must not seem slower than it is."""
    forms = typed(workload.features)
    return {side: msgspec.json.Decoder(form).decode for side, form in forms.items()}


def decode(fed: Batches, parse: Parsers) -> None:
    """The limit: each value into its Struct, and no more. In parts that stay in the cache, for the
    same reason."""
    for side, records in fed:
        for first in range(0, len(records.values), _LIMIT_RECORDS):
            list(map(parse[side], records.values[first : first + _LIMIT_RECORDS]))


@contextmanager
def parsed_by(parser: Parser) -> Iterator[None]:
    """Python's parser: nothing else by the extension either."""
    with (
        mock.patch.object(record_columns, "PARSER", parser),
        mock.patch.object(native, "IN_USE", parser == "native"),
        mock.patch.object(of_detectors, "IN_USE", parser == "native"),
    ):
        yield


def by_stage(fed: Batches, release_every: int) -> dict[str, float]:
    """CPU seconds of each stage, and of reading, which is part of stage 1; in a run of its own."""
    forget_rows()
    pipeline = Pipeline(RULES, PARTITIONS, release_every=release_every)
    took = Counter[str]()

    def clocked(stage: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def done(*given: Any, **named: Any) -> Any:
            began_s = time.process_time()
            try:
                return work(*given, **named)
            finally:
                took[stage] += time.process_time() - began_s

        return done

    stages: list[Any] = [*pipeline.sources, *pipeline.models, pipeline.alert_stage]
    calls = {
        "predictions": "stage 1, predictions",
        "outcomes": "stage 1, outcomes",
        "end_of_input": "stage 1, at the end",
        "hear": "stage 2",
        "release": "stage 2",
        "handle": "stage 3",
    }
    for stage in stages:
        for name in calls.keys() & set(dir(stage)):
            setattr(stage, name, clocked(calls[name], getattr(stage, name)))
    reads = {
        name: clocked(_READING, getattr(source_stage, name))
        for name in ("prediction_columns", "outcome_columns")
    }
    with mock.patch.multiple(source_stage, **reads):
        feed(pipeline, fed)
    return {stage: took[stage] for stage in dict.fromkeys([*calls.values(), _READING])}


def measure(workload: Workload, repetitions: int, release_every: int) -> dict[str, Any]:
    fed, parse = list(batches(generate(workload), PARTITIONS)), parsers(workload)
    rates: dict[Parser, list[float]] = {parser: [] for parser in PARSERS}
    limits: dict[Parser, list[float]] = {parser: [] for parser in PARSERS}
    for _ in range(repetitions):
        for parser in PARSERS:
            with parsed_by(parser):
                pipeline, took_s, limit_s = in_turns(fed, parse, release_every)
            rates[parser].append(workload.events / took_s)
            limits[parser].append(workload.events / limit_s)
            wrong = imbalance(pipeline.ledger()["total"])
            assert not wrong, wrong

    def stages(parser: Parser) -> dict[str, float]:
        with parsed_by(parser):
            took = by_stage(fed, release_every)
        return {stage: spent / workload.events * 1e6 for stage, spent in took.items()}

    return {
        "events": workload.events,
        "predictions_per_s": workload.per_second,
        "release_every": release_every,
        "events_per_cpu_s": {p: Spread.of(rates[p]).plain() for p in PARSERS},
        "limit_events_per_cpu_s": Spread.of([*chain(*limits.values())]).plain(),
        "xL": {p: ratios(rates[p], limits[p]).plain() for p in PARSERS},
        "stage_us_per_event": {p: stages(p) for p in PARSERS},
        "alerts": len(pipeline.alerts),
        "joined": pipeline.summary()["joined"],
        "references": len(pipeline.references),
        "peak_memory_mb": peak_memory_mb(),
    }


def told(found: dict[str, Any]) -> str:
    limit = Spread(**found["limit_events_per_cpu_s"])
    rows = [
        ("core", "events per CPU second", "xL"),
        ("msgspec into fixed Structs: the limit", limit.told(), "1"),
    ]
    for parser, rate in found["events_per_cpu_s"].items():
        share = Spread(**found["xL"][parser]).told(".3f")
        rows.append((f"bytes in, alerts out, {_WITH[parser]}", Spread(**rate).told(), share))
    stages = [
        f"µs per event, {_WITH[parser]}: " + ", ".join(f"{s} {us:.2f}" for s, us in took.items())
        for parser, took in found["stage_us_per_event"].items()
    ]
    joined, sealed = f"{found['joined']:,} joined", f"{found['references']} references"
    memory = f"at most {found['peak_memory_mb']:.0f} MB with the workload itself"
    return (
        "\n".join([table(rows), *stages]) + f"\n{found['events']:,} events, "
        f"{found['predictions_per_s']:,} predictions a second of event time, {joined}, {sealed}, "
        f"{found['alerts']} alerts, stage 2 told every {found['release_every']:,} records, {memory}"
    )


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--predictions", type=int, default=800_000, help="and as many outcomes")
    parser.add_argument("--per-second", type=int, default=1_000, help="of event time")
    parser.add_argument("--release-every", type=int, default=RELEASE_EVERY, help="records")
    parser.add_argument("--repetitions", type=int, default=REPETITIONS)
    parser.add_argument("--profile", help="write a cProfile of one run here, measure nothing")


def main(given: argparse.Namespace) -> dict[str, Any] | None:
    keep_freed_memory()  # as every command does
    keep_no_arrays()  # as a worker does
    collect_rarely()
    workload = Workload(predictions=given.predictions, per_second=given.per_second)
    if given.profile:
        fed = list(batches(generate(workload), PARTITIONS))
        with cProfile.Profile() as profile:
            run(fed)
        profile.dump_stats(given.profile)
        return None
    return measure(workload, given.repetitions, given.release_every)
