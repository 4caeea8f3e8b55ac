"""Which outcome counts for which prediction, and the ledger of one partition."""

from __future__ import annotations

from collections import Counter

from tests.oracle.maturity import Decisions, can_belong
from tests.oracle.reading import Outcome, Prediction
from tests.oracle.world import Partition, World, least

TERMS = {
    "predictions": ("matured_labelled", "matured_unlabelled", "pending", "unjoined"),
    "outcomes": ("joined", "superseded", "retracted", "orphan_waiting", "orphan_expired"),
}
REFUSALS = ("duplicate", "late", "future", "dead_lettered", "shed")


def candidates(
    world: World, partition: Partition, prediction: Prediction, age_ms: int
) -> list[Outcome]:
    return [
        outcome
        for outcome in partition.outcomes
        if can_belong(world, outcome, prediction) and outcome.effective < prediction.at + age_ms
    ]


def state_of(
    world: World,
    partition: Partition,
    prediction: Prediction,
    decisions: Decisions,
) -> tuple[str, Outcome | None, list[Outcome]]:
    """(ledger term, the outcome that counts so far, all candidates) of an applied prediction."""
    known, age, _ = decisions.of(world, prediction)
    if (known and age is None) or not prediction.is_held:
        return "unjoined", None, []
    met = candidates(world, partition, prediction, world.horizon_ms if age is None else age)
    counted = max(met, key=lambda outcome: outcome.revision, default=None)
    now = least([partition], "both")
    judged_at = world.pane_end(prediction.at) + world.grace_ms + (age or 0)
    if not known or now is None or now < judged_at:
        return "pending", counted, met
    labelled = counted is not None and not counted.retracted
    return ("matured_labelled" if labelled else "matured_unlabelled"), counted, met


def ledger(world: World, partition: Partition, decisions: Decisions) -> dict[str, dict[str, int]]:
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
