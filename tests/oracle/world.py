"""The rules of a world, and what each partition accepts of its records, one after another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from tests.oracle.reading import Dead, Limits, Outcome, Prediction, read_outcome, read_prediction
from tests.oracle.tally import row_hash_of

Raw = tuple[int, int | None, bytes | None]  # offset, record timestamp in ms, value


@dataclass(frozen=True)
class Advance:
    """A journaled raise of one side's watermark, between two records."""

    watermark_ms: int


@dataclass(frozen=True)
class Level:
    """A journaled decision of what is shed from the next record on: 2**level times less is kept."""

    what: str
    level: int


Entry = Raw | Advance | Level


@dataclass(frozen=True)
class World:
    """The part of the configuration that decides counts, joins and panes."""

    pane_ms: int
    grace_ms: int
    horizon_ms: int
    future_bound_ms: int | None
    maturity: dict[str, int | str | None]  # per model; "": every other model
    reference: tuple[int, int]  # predictions, span in ms
    pane_rows: int
    max_categories: int
    limits: Limits
    ages: dict[str, tuple[int, ...]] = field(default_factory=dict)  # per model; "": every other
    first: int = 1_000  # predictions of the first look at an early age

    @property
    def settled_ms(self) -> int:
        return self.pane_ms + 2 * self.grace_ms

    def pane_end(self, at: int) -> int:
        return (at // self.pane_ms + 1) * self.pane_ms

    def maturity_of(self, model_id: str) -> int | str | None:
        return self.maturity.get(model_id, self.maturity[""])

    def ages_of(self, model_id: str) -> tuple[int, ...]:
        """At which its predictions are judged before their maturity."""
        return self.ages.get(model_id, self.ages.get("", ()))

    def memory_ms(self, model_id: str) -> int:
        configured = self.maturity_of(model_id)
        age = {"auto": self.horizon_ms, None: 0}.get(configured, configured)  # type: ignore[arg-type]
        return max(self.pane_ms + self.grace_ms, int(age))  # type: ignore[arg-type]


@dataclass
class Partition:
    """All that one source partition accepted, and the counts of what it did not."""

    predictions: list[Prediction] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    refused: dict[str, Counter[str]] = field(
        default_factory=lambda: {"predictions": Counter(), "outcomes": Counter()}
    )
    dead: list[tuple[str, int, str]] = field(default_factory=list)  # side, offset, reason
    watermark: dict[str, int | None] = field(
        default_factory=lambda: {"predictions": None, "outcomes": None}
    )


def least(partitions: list[Partition], sides: str) -> int | None:
    """The watermark that all partitions passed: of predictions, or of both sides."""
    marks = [
        mark
        for partition in partitions
        for side, mark in partition.watermark.items()
        if sides in ("both", side)
    ]
    known = [mark for mark in marks if mark is not None]
    return min(known) if len(known) == len(marks) else None


def accept_predictions(world: World, partition: Partition, entries: Sequence[Entry]) -> None:
    refused = partition.refused["predictions"]
    levels = {"pending": 0, "ids": 0}
    for entry in entries:
        before = partition.watermark["predictions"]
        if isinstance(entry, Level):
            levels[entry.what] = entry.level
            continue
        if isinstance(entry, Advance):
            partition.watermark["predictions"] = _greater(before, entry.watermark_ms)
            continue
        offset, timestamp, raw = entry
        try:
            prediction = read_prediction(raw, world.limits)
        except Dead as reason:
            partition.dead.append(("predictions", offset, str(reason)))
            refused["dead_lettered"] += 1
            continue
        if _is_future(world, timestamp, prediction.at):
            refused["future"] += 1
            continue
        partition.watermark["predictions"] = _greater(before, prediction.at)
        if before is not None and world.pane_end(prediction.at) + world.grace_ms <= before:
            refused["late"] += 1
        elif not _is_kept(prediction.prediction_id, levels["ids"]):
            refused["shed"] += 1
        elif before is not None and any(
            _identity(earlier) == _identity(prediction)
            and earlier.at >= before - world.memory_ms(prediction.model_id)
            for earlier in partition.predictions
        ):
            refused["duplicate"] += 1
        else:
            prediction.is_held = _is_kept(prediction.prediction_id, levels["pending"])
            partition.predictions.append(prediction)


def accept_outcomes(world: World, partition: Partition, entries: Sequence[Entry]) -> None:
    refused = partition.refused["outcomes"]
    levels = {"outcomes": 0, "ids": 0}
    for entry in entries:
        before = partition.watermark["outcomes"]
        if isinstance(entry, Level):
            levels[entry.what] = entry.level
            continue
        if isinstance(entry, Advance):
            partition.watermark["outcomes"] = _greater(before, entry.watermark_ms)
            continue
        offset, timestamp, raw = entry
        try:
            outcome = read_outcome(raw, world.limits)
        except Dead as reason:
            partition.dead.append(("outcomes", offset, str(reason)))
            refused["dead_lettered"] += 1
            continue
        if _is_future(world, timestamp, outcome.observed_at):
            refused["future"] += 1
            continue
        outcome.effective = _greater(before, outcome.observed_at)
        partition.watermark["outcomes"] = outcome.effective
        if not _is_kept(outcome.prediction_id, max(levels.values())):
            refused["shed"] += 1
        elif before is not None and any(
            (earlier.model_id, earlier.prediction_id, earlier.revision)
            == (outcome.model_id, outcome.prediction_id, outcome.revision)
            and earlier.effective >= before - (world.horizon_ms + world.settled_ms)
            for earlier in partition.outcomes
        ):
            refused["duplicate"] += 1
        else:
            partition.outcomes.append(outcome)


def _is_kept(prediction_id: str, level: int) -> bool:
    return level < 16 and row_hash_of(prediction_id) < 2 ** (64 - level)


def _greater(before: int | None, at: int) -> int:
    return at if before is None else max(before, at)


def _is_future(world: World, timestamp: int | None, at: int) -> bool:
    if world.future_bound_ms is None or timestamp is None:
        return False
    return at > timestamp + world.future_bound_ms


def _identity(prediction: Prediction) -> tuple[str, str, str, str]:
    return (prediction.model_id, prediction.version, prediction.role, prediction.prediction_id)
