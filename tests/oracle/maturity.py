"""The maturity of a model, decided from the delays of its labels."""

from __future__ import annotations

from collections import Counter

from tests.oracle.reading import Outcome, Prediction
from tests.oracle.world import Partition, World, least

Decisions = dict[str, tuple[int | None, int]]  # model -> maturity in ms or None, decided at


def can_belong(world: World, outcome: Outcome, prediction: Prediction) -> bool:
    return (outcome.model_id, outcome.prediction_id) == (
        prediction.model_id,
        prediction.prediction_id,
    ) and prediction.at <= outcome.effective + world.grace_ms


def bucket_edge(delay_ms: int) -> int:
    """The smallest (32 + j) * 2**k, 0 <= j < 32, or number below 32, that is no less."""
    delay_ms = max(delay_ms, 1)
    shift = 0
    while (63 << shift) < delay_ms:
        shift += 1
    return -(-delay_ms // (1 << shift)) << shift


def decide_maturities(world: World, partitions: list[Partition]) -> Decisions:
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
    delays = []  # (ready at, bucket edge) of the labelled reference predictions
    for partition in partitions:
        for prediction in partition.predictions:
            if prediction.model_id != model_id or prediction.at >= reference_end:
                continue
            if not prediction.is_held:
                continue
            first = first_outcome(world, partition, prediction)
            if first is not None:
                ready_at = world.pane_end(first.effective) + world.settled_ms
                edge = bucket_edge(max(0, first.effective - prediction.at))
                delays.append((ready_at, edge))
    last_call = reference_end + world.horizon_ms + world.settled_ms
    needed = -(-9 * count // 10)
    # An edge is trusted once every reference prediction has been watched for as long as it says.
    trusted = sorted(
        max(ready_at, reference_end + edge + world.settled_ms) for ready_at, edge in delays
    )
    moment = min(trusted[needed - 1], last_call) if len(trusted) >= needed else last_call
    # Or few have come later, once all have been watched for four times an edge.
    for edge in sorted({edge for _, edge in delays}):
        known_at = reference_end + 4 * edge + world.pane_ms + world.settled_ms
        soon = sum(other <= edge for _, other in delays)
        seen = sum(ready_at <= known_at for ready_at, _ in delays)
        if soon * 10 >= 9 * seen and seen * 4 >= 3 * count and known_at < moment:
            return (edge, known_at) if known_at <= now else None
    if moment > now:
        return None
    known = sorted(edge for ready_at, edge in delays if ready_at <= moment)
    if len(trusted) >= needed and trusted[needed - 1] == moment:
        return known[needed - 1], moment
    known = [edge for edge in known if edge <= world.horizon_ms]
    return (known[-(-9 * len(known) // 10) - 1] if known else None), moment


def first_outcome(world: World, partition: Partition, prediction: Prediction) -> Outcome | None:
    """The first applied that can belong to it and is no retraction."""
    for outcome in partition.outcomes:
        if can_belong(world, outcome, prediction) and not outcome.retracted:
            return outcome
    return None


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
