"""What Leeway must compute, computed slowly: dictionaries, lists, fractions, sorting and rescans.

No watermark is kept incrementally where a scan of everything before will do, nothing is ever
forgotten, and every question is answered from the whole history. It imports nothing of the
processor: both sides were written from the same semantics.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from tests.oracle.reading import Dead, Limits, Outcome, Prediction, read_outcome, read_prediction
from tests.oracle.tally import Cell, PaneTally, tally

POSITIVE = {"true", "1", "yes", "positive"}
BINARY = {"0": 0.0, "false": 0.0, "1": 1.0, "true": 1.0}
NEVER: float = float("-inf")

Raw = tuple[int, int | None, bytes | None]  # offset, record timestamp in ms, value
PaneKey = tuple[str, tuple[str, str, str, str], int]  # kind, group, pane end


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

    @property
    def settled_ms(self) -> int:
        return self.pane_ms + 2 * self.grace_ms

    def pane_end(self, at: int) -> int:
        return (at // self.pane_ms + 1) * self.pane_ms

    def maturity_of(self, model_id: str) -> int | str | None:
        return self.maturity.get(model_id, self.maturity[""])

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


@dataclass
class Answer:
    ledger: list[dict[str, dict[str, int]]]
    dead: list[tuple[str, int, int, str]]  # side, partition, offset, reason: sorted
    panes: dict[PaneKey, PaneTally]
    decisions: dict[str, tuple[int | None, int]]  # model -> maturity, decided at
    watermarks: list[dict[str, int | None]]
    coverage: dict[tuple[str, str, str, str], tuple[int, int]]  # group -> labelled, matured


def answer(
    world: World,
    predictions: list[list[Raw]],
    outcomes: list[list[Raw]],
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
        panes=prediction_panes(world, partitions) | cohort_panes(world, partitions, decisions),
        decisions=decisions,
        watermarks=[partition.watermark for partition in partitions],
        coverage=label_coverage(world, partitions, decisions),
    )


def greatest_event_time(partitions: Iterable[Partition]) -> int | None:
    return max((w for p in partitions for w in p.watermark.values() if w is not None), default=None)


# Accepting


def accept_predictions(world: World, partition: Partition, raws: list[Raw]) -> None:
    refused = partition.refused["predictions"]
    for offset, timestamp, raw in raws:
        before = partition.watermark["predictions"]
        try:
            prediction = read_prediction(raw, world.limits)
        except Dead as reason:
            partition.dead.append(("predictions", offset, str(reason)))
            refused["dead_lettered"] += 1
            continue
        if _is_future(world, timestamp, prediction.at):
            refused["future"] += 1
            continue
        partition.watermark["predictions"] = max(
            prediction.at, prediction.at if before is None else before
        )
        if before is not None and world.pane_end(prediction.at) + world.grace_ms <= before:
            refused["late"] += 1
        elif before is not None and any(
            _identity(earlier) == _identity(prediction)
            and earlier.at >= before - world.memory_ms(prediction.model_id)
            for earlier in partition.predictions
        ):
            refused["duplicate"] += 1
        else:
            partition.predictions.append(prediction)


def accept_outcomes(world: World, partition: Partition, raws: list[Raw]) -> None:
    refused = partition.refused["outcomes"]
    for offset, timestamp, raw in raws:
        before = partition.watermark["outcomes"]
        try:
            outcome = read_outcome(raw, world.limits)
        except Dead as reason:
            partition.dead.append(("outcomes", offset, str(reason)))
            refused["dead_lettered"] += 1
            continue
        if _is_future(world, timestamp, outcome.observed_at):
            refused["future"] += 1
            continue
        outcome.effective = max(
            outcome.observed_at, outcome.observed_at if before is None else before
        )
        partition.watermark["outcomes"] = outcome.effective
        if before is not None and any(
            (earlier.model_id, earlier.prediction_id, earlier.revision)
            == (outcome.model_id, outcome.prediction_id, outcome.revision)
            and earlier.effective >= before - (world.horizon_ms + world.settled_ms)
            for earlier in partition.outcomes
        ):
            refused["duplicate"] += 1
        else:
            partition.outcomes.append(outcome)


def _is_future(world: World, timestamp: int | None, at: int) -> bool:
    if world.future_bound_ms is None or timestamp is None:
        return False
    return at > timestamp + world.future_bound_ms


def _identity(prediction: Prediction) -> tuple[str, str, str, str]:
    return (prediction.model_id, prediction.version, prediction.role, prediction.prediction_id)


# Joining


def can_belong(world: World, outcome: Outcome, prediction: Prediction) -> bool:
    return (outcome.model_id, outcome.prediction_id) == (
        prediction.model_id,
        prediction.prediction_id,
    ) and prediction.at <= outcome.effective + world.grace_ms


def candidates(
    world: World, partition: Partition, prediction: Prediction, age_ms: int
) -> list[Outcome]:
    return [
        outcome
        for outcome in partition.outcomes
        if can_belong(world, outcome, prediction) and outcome.effective < prediction.at + age_ms
    ]


def maturity_now(
    world: World, model_id: str, decisions: dict[str, tuple[int | None, int]]
) -> tuple[bool, int | None]:
    """(known, age in ms or None for never)."""
    configured = world.maturity_of(model_id)
    if configured != "auto":
        return True, configured  # type: ignore[return-value]
    return (True, decisions[model_id][0]) if model_id in decisions else (False, None)


def state_of(
    world: World,
    partition: Partition,
    prediction: Prediction,
    decisions: dict[str, tuple[int | None, int]],
) -> tuple[str, Outcome | None, list[Outcome]]:
    """(ledger term, the outcome that counts so far, all candidates) of an applied prediction."""
    known, age = maturity_now(world, prediction.model_id, decisions)
    if known and age is None:
        return "unjoined", None, []
    met = candidates(world, partition, prediction, world.horizon_ms if age is None else age)
    counted = max(met, key=lambda outcome: outcome.revision, default=None)
    now = least([partition], "both")
    judged_at = world.pane_end(prediction.at) + world.grace_ms + (age or 0)
    if not known or now is None or now < judged_at:
        return "pending", counted, met
    labelled = counted is not None and not counted.retracted
    return ("matured_labelled" if labelled else "matured_unlabelled"), counted, met


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


# The ledger

TERMS = {
    "predictions": ("matured_labelled", "matured_unlabelled", "pending", "unjoined"),
    "outcomes": ("joined", "superseded", "retracted", "orphan_waiting", "orphan_expired"),
}
REFUSALS = ("duplicate", "late", "future", "dead_lettered", "shed")


def ledger(
    world: World, partition: Partition, decisions: dict[str, tuple[int | None, int]]
) -> dict[str, dict[str, int]]:
    counted: set[int] = set()
    met: set[int] = set()
    states: dict[str, Counter[str]] = {"predictions": Counter(), "outcomes": Counter()}
    for prediction in partition.predictions:
        state, winner, all_met = state_of(world, partition, prediction, decisions)
        states["predictions"][state] += 1
        met.update(id(outcome) for outcome in all_met)
        counted.update([id(winner)] if winner is not None else [])
    now = partition.watermark["predictions"]
    for outcome in partition.outcomes:
        if id(outcome) in counted:
            state = "retracted" if outcome.retracted else "joined"
        elif id(outcome) in met:
            state = "superseded"
        elif now is None or now < world.pane_end(outcome.effective) + world.settled_ms:
            state = "orphan_waiting"
        else:
            state = "orphan_expired"
        states["outcomes"][state] += 1
    result: dict[str, dict[str, int]] = {}
    for side, applied in (("predictions", partition.predictions), ("outcomes", partition.outcomes)):
        refused = {term: partition.refused[side][term] for term in REFUSALS}
        result[side] = {
            "consumed": len(applied) + sum(refused.values()),
            "applied": len(applied),
            **refused,
            **{term: states[side][term] for term in TERMS[side]},
        }
    return result


# Maturity decided from the data


def bucket_edge(delay_ms: int) -> int:
    """The smallest (32 + j) * 2**k, 0 <= j < 32, or number below 32, that is no less."""
    delay_ms = max(delay_ms, 1)
    shift = 0
    while (63 << shift) < delay_ms:
        shift += 1
    return -(-delay_ms // (1 << shift)) << shift


def decide_maturities(
    world: World, partitions: list[Partition]
) -> dict[str, tuple[int | None, int]]:
    models = {p.model_id for partition in partitions for p in partition.predictions}
    decisions = {}
    for model_id in sorted(models):
        if world.maturity_of(model_id) == "auto":
            decision = decide_maturity(world, partitions, model_id)
            if decision is not None:
                decisions[model_id] = decision
    return decisions


def decide_maturity(
    world: World, partitions: list[Partition], model_id: str
) -> tuple[int | None, int] | None:
    """(maturity in ms or None, decided at), or None while it cannot be known."""
    now = least(partitions, "both")
    reference = reference_of(world, partitions, model_id)
    if now is None or reference is None:
        return None
    count, reference_end = reference
    delays = []  # (ready at, bucket edge, in the reference?)
    for partition in partitions:
        for prediction in partition.predictions:
            if prediction.model_id != model_id:
                continue
            first = next(
                (
                    outcome
                    for outcome in partition.outcomes
                    if can_belong(world, outcome, prediction) and not outcome.retracted
                ),
                None,
            )
            if first is not None:
                ready_at = world.pane_end(first.effective) + world.settled_ms
                edge = bucket_edge(max(0, first.effective - prediction.at))
                delays.append((ready_at, edge, prediction.at < reference_end))
    last_call = reference_end + world.horizon_ms + world.settled_ms
    for moment in sorted({ready_at for ready_at, _, _ in delays} | {last_call}):
        if moment > min(now, last_call):
            return None
        known = sorted(edge for ready_at, edge, inside in delays if inside and ready_at <= moment)
        needed = -(-9 * count // 10)
        if len(known) >= needed and known[needed - 1] <= moment - world.settled_ms - reference_end:
            return known[needed - 1], moment
        if moment == last_call:
            known = [edge for edge in known if edge <= world.horizon_ms]
            return (known[-(-9 * len(known) // 10) - 1] if known else None), moment
    raise AssertionError("the last call was not among the moments")


def reference_of(
    world: World, partitions: list[Partition], model_id: str
) -> tuple[int, int] | None:
    """(number of reference predictions, end of their last pane)."""
    closed = least(partitions, "predictions")
    ends = Counter(
        world.pane_end(p.at)
        for partition in partitions
        for p in partition.predictions
        if p.model_id == model_id
    )
    count = 0
    for end in sorted(ends):
        if closed is None or end + world.grace_ms > closed:
            return None
        count += ends[end]
        span_ms = end - (min(ends) - world.pane_ms)
        if count >= world.reference[0] and span_ms >= world.reference[1]:
            return count, end
    return None


# Panes


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
                }
                cells |= {name: v for name, v in measures.items() if v is not None}
                rows["prediction", p.group, end].append((p.prediction_id, cells))
    return {key: tally(found, world.pane_rows, world.max_categories) for key, found in rows.items()}


def cohort_panes(
    world: World, partitions: list[Partition], decisions: dict[str, tuple[int | None, int]]
) -> dict[PaneKey, PaneTally]:
    passed = least(partitions, "both")
    rows: dict[PaneKey, list[tuple[str, dict[str, Cell]]]] = defaultdict(list)
    for partition in partitions:
        for p in partition.predictions:
            state, counted, _ = state_of(world, partition, p, decisions)
            if not state.startswith("matured"):
                continue
            age = maturity_now(world, p.model_id, decisions)[1] or 0
            end = world.pane_end(p.at)
            decided_at = decisions[p.model_id][1] if p.model_id in decisions else NEVER
            if passed is not None and max(end + world.grace_ms + age, decided_at) <= passed:
                row = (p.prediction_id, losses(p, counted))
                rows["cohort", p.group, end].append(row)
    return {key: tally(found, world.pane_rows, world.max_categories) for key, found in rows.items()}


LOSSES = ("error", "brier", "absolute_error", "squared_error")


def losses(prediction: Prediction, counted: Outcome | None) -> dict[str, Cell]:
    """A cohort row: numbers; null where there is no label; absent where a loss does not apply."""
    if counted is None or counted.retracted:
        return {f"outcome:{name}": None for name in LOSSES}
    row: dict[str, Cell] = {}
    actual = counted.label
    if actual is not None and prediction.label is not None:
        row["outcome:error"] = float(prediction.label != actual)
    elif actual is not None and prediction.score is not None:
        row["outcome:error"] = float((prediction.score >= 0.5) != (actual.lower() in POSITIVE))
    if actual is not None and prediction.score is not None:
        named = None if prediction.label is None else float(actual == prediction.label)
        truth = BINARY.get(actual, named)
        if truth is not None:
            row["outcome:brier"] = (prediction.score - truth) * (prediction.score - truth)
    if prediction.value is not None and counted.value is not None:
        difference = prediction.value - counted.value
        row["outcome:absolute_error"] = abs(difference)
        row["outcome:squared_error"] = difference * difference
    return row


def label_coverage(
    world: World, partitions: list[Partition], decisions: dict[str, tuple[int | None, int]]
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
