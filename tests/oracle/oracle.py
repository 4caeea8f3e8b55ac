"""What Leeway must compute, computed slowly: dictionaries, lists, fractions, sorting and rescans.

No watermark is kept incrementally where a scan of everything before will do, nothing is ever
forgotten, and every question is answered from the whole history. It imports nothing of the
processor: both sides were written from the same semantics.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from tests.oracle.ledger import candidates, ledger, state_of
from tests.oracle.maturity import Decisions, decide_maturities
from tests.oracle.reading import Outcome, Prediction
from tests.oracle.tally import Cell, PaneTally, tally
from tests.oracle.world import Entry, Partition, World, accept_outcomes, accept_predictions, least

POSITIVE = {"true", "1", "yes", "positive"}
BINARY = {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}
NEVER: float = float("-inf")
PaneKey = tuple[str, tuple[str, str, str, str], int]  # kind, group, pane end


@dataclass
class Answer:
    ledger: list[dict[str, dict[str, int]]]
    dead: list[tuple[str, int, int, str]]  # side, partition, offset, reason: sorted
    panes: dict[PaneKey, PaneTally]
    decisions: Decisions
    watermarks: list[dict[str, int | None]]
    coverage: dict[tuple[str, str, str, str], tuple[int, int]]  # group -> labelled, matured


def answer(
    world: World,
    predictions: Sequence[Sequence[Entry]],
    outcomes: Sequence[Sequence[Entry]],
    *,
    ended: bool,
) -> Answer:
    """Everything there is to know of these records; `ended`: end of input was declared."""
    partitions = [Partition() for _ in predictions]
    for partition, said, seen in zip(partitions, predictions, outcomes, strict=True):
        accept_predictions(world, partition, said)
        accept_outcomes(world, partition, seen)
    greatest = greatest_event_time(partitions)
    if ended and greatest is not None:
        for partition in partitions:
            end = world.pane_end(greatest) + world.grace_ms
            partition.watermark = {"predictions": end, "outcomes": end}
    decisions = decide_maturities(world, partitions)
    return Answer(
        ledger=[ledger(world, partition, decisions) for partition in partitions],
        dead=sorted((s, p, o, r) for p, part in enumerate(partitions) for s, o, r in part.dead),
        panes=prediction_panes(world, partitions)
        | cohort_panes(world, partitions, decisions)
        | young_panes(world, partitions, decisions),
        decisions=decisions,
        watermarks=[partition.watermark for partition in partitions],
        coverage=label_coverage(world, partitions, decisions),
    )


def greatest_event_time(partitions: Iterable[Partition]) -> int | None:
    return max((w for p in partitions for w in p.watermark.values() if w is not None), default=None)


def prediction_panes(world: World, partitions: list[Partition]) -> dict[PaneKey, PaneTally]:
    closed = least(partitions, "predictions")
    rows: dict[PaneKey, list[tuple[str, dict[str, Cell]]]] = defaultdict(list)
    for partition in partitions:
        for p in partition.predictions:
            end = world.pane_end(p.at)
            if closed is not None and end + world.grace_ms <= closed:
                cells: dict[str, Cell] = {f"feature:{name}": v for name, v in p.features.items()}
                measures = {
                    "prediction:label": p.label,
                    "prediction:score": p.score,
                    "prediction:value": p.value,
                    "prediction:latency_ms": p.latency_ms,
                    "prediction:feature_set": p.feature_set,
                }
                cells |= {name: v for name, v in measures.items() if v is not None}
                rows["prediction", p.group, end].append((p.prediction_id, cells))
    return {key: tally(found, world.pane_rows, world.max_categories) for key, found in rows.items()}


def cohort_panes(
    world: World, partitions: list[Partition], decisions: Decisions
) -> dict[PaneKey, PaneTally]:
    passed = least(partitions, "both")
    rows: dict[PaneKey, list[tuple[str, dict[str, Cell]]]] = defaultdict(list)
    for partition in partitions:
        for p in partition.predictions:
            state, counted, _ = state_of(world, partition, p, decisions)
            if not state.startswith("matured"):
                continue
            _, age, decided_at = decisions.of(world, p)
            end = world.pane_end(p.at)
            ready_at = max(end + world.grace_ms + (age or 0), decided_at or NEVER)
            if passed is not None and ready_at <= passed:
                row = (p.prediction_id, losses(p, counted))
                rows["cohort", p.group, end].append(row)
    return {key: tally(found, world.pane_rows, world.max_categories) for key, found in rows.items()}


def young_panes(
    world: World, partitions: list[Partition], decisions: Decisions
) -> dict[PaneKey, PaneTally]:
    """Of each further age, what is known of the predictions that are as old."""
    passed = least(partitions, "both")
    rows: dict[PaneKey, list[tuple[str, dict[str, Cell]]]] = defaultdict(list)
    for partition in partitions:
        for p in partition.predictions:
            _, maturity, decided_at = decisions.of(world, p)
            end = world.pane_end(p.at)
            for age in world.ages_of(p.model_id):
                if maturity is None or age >= maturity or not p.is_held or passed is None:
                    continue
                if max(end + world.grace_ms + age, decided_at or NEVER) <= passed:
                    known = candidates(world, partition, p, age)
                    counted = max(known, key=lambda outcome: outcome.revision, default=None)
                    row = (p.prediction_id, losses(p, counted))
                    rows[f"cohort@{age}", p.group, end].append(row)
    return {key: tally(found, world.pane_rows, world.max_categories) for key, found in rows.items()}


LOSSES = ("delay_ms", "error", "brier", "absolute_error", "squared_error")


def losses(prediction: Prediction, counted: Outcome | None) -> dict[str, Cell]:
    """A cohort row: numbers; null where there is no label; absent where a loss does not apply."""
    if counted is None or counted.retracted:
        return {f"outcome:{name}": None for name in LOSSES}
    row: dict[str, Cell] = {"outcome:delay_ms": max(counted.effective - prediction.at, 0)}
    actual = counted.label
    if actual is not None and prediction.label is not None:
        row["outcome:error"] = float(prediction.label != actual)
    elif actual is not None and prediction.score is not None:
        row["outcome:error"] = float((prediction.score >= 0.5) != (actual.lower() in POSITIVE))
    if actual in BINARY and "outcome:error" in row:
        wrong = row["outcome:error"]
        if BINARY[actual]:
            row["outcome:recall"] = 1.0 - wrong
        else:
            row["outcome:false_positive_rate"] = wrong
    if actual is not None and prediction.score is not None and 0 <= prediction.score <= 1:
        named = None if prediction.label is None else float(actual == prediction.label)
        truth = BINARY.get(actual, named)
        if truth is not None:
            row["outcome:brier"] = (prediction.score - truth) * (prediction.score - truth)
            row["outcome:score_true" if truth else "outcome:score_false"] = prediction.score
    if prediction.value is not None and counted.value is not None:
        difference = prediction.value - counted.value
        row["outcome:absolute_error"] = abs(difference)
        row["outcome:squared_error"] = difference * difference
    return row


def label_coverage(
    world: World, partitions: list[Partition], decisions: Decisions
) -> dict[tuple[str, str, str, str], tuple[int, int]]:
    found: dict[tuple[str, str, str, str], Counter[str]] = defaultdict(Counter)
    for partition in partitions:
        for prediction in partition.predictions:
            found[prediction.group][state_of(world, partition, prediction, decisions)[0]] += 1
    return {
        group: (
            states["matured_labelled"],
            states["matured_labelled"] + states["matured_unlabelled"],
        )
        for group, states in found.items()
        if states["matured_labelled"] + states["matured_unlabelled"]
    }
