"""The maturity of a model, decided from the delays of its labels."""

from __future__ import annotations

from collections import Counter
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

from tests.oracle.reading import Outcome, Prediction
from tests.oracle.world import Partition, World, least


class Early(NamedTuple):
    """Of the panes that end by `until`; `share`: of those looked at, how many had a label."""

    age: int
    decided_at: int
    until: int
    share: Fraction


class Decisions(dict[str, tuple[int | None, int]]):
    """model -> maturity in ms or None, decided at."""

    def __init__(self) -> None:
        self.early: dict[str, Early] = {}

    def of(self, world: World, p: Prediction) -> tuple[bool, int | None, int | None]:
        """(known, age in ms or None for never, decided at if it was)."""
        configured = world.maturity_of(p.model_id)
        if configured != "auto":
            return True, configured, None  # type: ignore[return-value]
        early = self.early.get(p.model_id)
        if early is not None and world.pane_end(p.at) <= early.until:
            return True, early.age, early.decided_at
        return (True, *self[p.model_id]) if p.model_id in self else (False, None, None)


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
    decisions = Decisions()
    for model_id in sorted(models):
        if world.maturity_of(model_id) != "auto":
            continue
        early = None if world.ages_of(model_id) else decide_early(world, partitions, model_id)
        if early is not None:
            decisions.early[model_id] = early
        decision = decide_maturity(world, partitions, model_id, early)
        if decision is not None:
            decisions[model_id] = decision
    return decisions


def decide_early(world: World, partitions: list[Partition], model_id: str) -> Early | None:
    """Of the panes of the span: by the first 1, 2, 4, ... times so many predictions that tell."""
    now = least(partitions, "both")
    ends = pane_ends(world, partitions, model_id)
    _, span_ms = world.reference
    if now is None or not ends or span_ms == 0:
        return None
    start = min(ends) - world.pane_ms
    looks: list[tuple[int, int]] = []
    for end in sorted(end for end in ends if end <= start + span_ms):
        count = sum(ends[other] for other in ends if other <= end)
        while count >= world.first * 2 ** len(looks):
            looks.append((count, end))
    for (count, end), (_, following) in pairwise([*looks, (0, start + span_ms)]):
        delays = delays_of(world, partitions, model_id, start, end)
        found = by_both_rules(world, delays, count, end)
        if found is None or found[1] > now:
            continue
        edge, moment = found
        is_heard = moment < min(following + world.grace_ms, start + span_ms)
        if is_heard and end - start >= 2 * edge and edge <= world.horizon_ms:
            age = min(-(-edge * 5 // 4), world.horizon_ms)
            there = sum(ready <= moment and delay <= age for ready, delay in delays)
            return Early(age, moment, start + span_ms, Fraction(there, count))
    return None


def by_both_rules(
    world: World, delays: list[tuple[int, int]], count: int, end: int
) -> tuple[int, int] | None:
    """(edge, moment) of the first rule that ever holds. An edge is trusted once every prediction
    has been watched for as long as it says."""
    needed = -(-9 * count // 10)
    trusted = sorted(max(ready_at, end + edge + world.settled_ms) for ready_at, edge in delays)
    moment = trusted[needed - 1] if len(trusted) >= needed else None
    # Or few have come later, once all have been watched for four times an edge.
    for edge in sorted({edge for _, edge in delays}):
        known_at = end + 4 * edge + world.pane_ms + world.settled_ms
        soon = sum(other <= edge for _, other in delays)
        seen = sum(ready_at <= known_at for ready_at, _ in delays)
        if soon * 10 >= 9 * seen and seen * 4 >= 3 * count:
            if moment is None or known_at < moment:
                return edge, known_at
            break
    if moment is None:
        return None
    known = sorted(edge for ready_at, edge in delays if ready_at <= moment)
    return known[needed - 1], moment


def decide_maturity(
    world: World, partitions: list[Partition], model_id: str, early: Early | None = None
) -> tuple[int | None, int] | None:
    """(maturity in ms or None, decided at), or None while it cannot be known."""
    now = least(partitions, "both")
    ends = pane_ends(world, partitions, model_id)
    if now is None or not ends:
        return None
    start = min(ends) - world.pane_ms
    if early is not None:
        judged_at = early.until + world.grace_ms + early.age
        if judged_at > now:
            return None
        if is_borne_out(world, partitions, model_id, early):
            return early.age, judged_at
        start = early.until
    reference = reference_of(world, ends, start)
    if reference is None:
        return None
    count, end = reference
    delays = delays_of(world, partitions, model_id, start, end)
    last_call = end + world.horizon_ms + world.settled_ms
    least_ms = 0 if early is None else early.age
    found = by_both_rules(world, delays, count, end)
    if found is not None and found[1] <= last_call:
        return (max(found[0], least_ms), found[1]) if found[1] <= now else None
    if last_call > now:
        return None
    known = sorted(edge for ready_at, edge in delays if ready_at <= last_call)
    known = [edge for edge in known if edge <= world.horizon_ms]
    if not known:
        return None, last_call
    return max(known[-(-9 * len(known) // 10) - 1], least_ms), last_call


def is_borne_out(world: World, partitions: list[Partition], model_id: str, early: Early) -> bool:
    """Whether as many of the span have a label at the age, give or take one in ten."""
    judged = labelled = 0
    for partition in partitions:
        for p in partition.predictions:
            if p.model_id != model_id or world.pane_end(p.at) > early.until or not p.is_held:
                continue
            known = [
                outcome
                for outcome in partition.outcomes
                if can_belong(world, outcome, p) and outcome.effective < p.at + early.age
            ]
            last = max(known, key=lambda outcome: outcome.revision, default=None)
            judged += 1
            labelled += last is not None and not last.retracted
    return labelled >= judged * (early.share - Fraction(1, 10))


def delays_of(
    world: World, partitions: list[Partition], model_id: str, start: int, end: int
) -> list[tuple[int, int]]:
    """(ready at, bucket edge) of the labelled predictions between two pane ends."""
    delays = []
    for partition in partitions:
        for p in partition.predictions:
            if p.model_id != model_id or not start <= p.at < end or not p.is_held:
                continue
            first = first_outcome(world, partition, p)
            if first is not None:
                ready_at = world.pane_end(first.effective) + world.settled_ms
                delays.append((ready_at, bucket_edge(max(0, first.effective - p.at))))
    return delays


def first_outcome(world: World, partition: Partition, prediction: Prediction) -> Outcome | None:
    """The first applied that can belong to it and is no retraction."""
    for outcome in partition.outcomes:
        if can_belong(world, outcome, prediction) and not outcome.retracted:
            return outcome
    return None


def pane_ends(world: World, partitions: list[Partition], model_id: str) -> Counter[int]:
    """Predictions by the end of their pane, of panes that are closed."""
    closed = least(partitions, "predictions")
    ends = (
        world.pane_end(p.at)
        for partition in partitions
        for p in partition.predictions
        if p.model_id == model_id
    )
    return Counter(e for e in ends if closed is not None and e + world.grace_ms <= closed)


def reference_of(world: World, ends: Counter[int], start: int) -> tuple[int, int] | None:
    """(number of reference predictions, end of their last pane) of those behind the start."""
    count = 0
    for end in sorted(end for end in ends if end > start):
        count += ends[end]
        if count >= world.reference[0] and end - start >= world.reference[1]:
            return count, end
    return None
