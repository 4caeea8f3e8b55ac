"""All stages go on together from checkpoints of different moments: nothing is lost, nothing new."""

from __future__ import annotations

from collections import defaultdict
from random import Random
from typing import Any

import pytest

from stream.alert_stage import AlertStage
from stream.events import Records
from stream.model_stage import ModelStage
from stream.numbering import Said, place_of
from stream.pipeline import Pipeline
from stream.rules import Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from tests.streams import SMALL, Side, alert_bytes, dealt, draw_events, feed, with_maturity

PARTITIONS = 2
Place = tuple[Side, int]


class Logged(Pipeline):
    """Keeps what went over the topics between the stages, as the topics do."""

    def __init__(self, rules: Rules) -> None:
        super().__init__(rules, PARTITIONS)
        self.panes: dict[int, list[bytes]] = defaultdict(list)
        self.findings: list[bytes] = []
        for q, model in enumerate(self.models):
            self._log(model, "hear", self.panes[q])
        self._log(self.alert_stage, "handle", self.findings)

    @staticmethod
    def _log(stage: Any, method: str, log: list[bytes]) -> None:
        take = getattr(stage, method)

        def logged(value: bytes) -> Any:
            log.append(value)
            return take(value)

        setattr(stage, method, logged)


class Sealed:
    """One stage of one partition, and what it had applied."""

    def __init__(self, stage: Any, applied: Any) -> None:
        self.state = packed(stage.snapshot())
        self.applied = applied


def up_to(log: list[bytes], first: int, said: list[Said]) -> list[bytes]:
    """What the speakers had said when they were sealed, of what the listener had not applied."""
    found = []
    for value in log[first:]:
        speaker, epoch, number = place_of(value)
        if (epoch, number) < said[speaker]:
            found.append(value)
    return found


@pytest.mark.parametrize("maturity", [20_000, "auto"])
@pytest.mark.parametrize("seed", range(6))
def test_stages_sealed_at_different_moments_go_on_to_the_same_alerts_and_ledger(
    seed: int, maturity: int | str
) -> None:
    random = Random(seed)
    rules = with_maturity(SMALL, maturity)
    stream = dealt(*draw_events(random, 350), PARTITIONS)
    batches = list(stream.batches(random, 20))
    whole = Logged(rules)
    moments = {
        key: random.randrange(len(batches) // 5, len(batches) // (3 if key == (3, 0) else 1))
        for key in [*((s, p) for s in (1, 2) for p in range(PARTITIONS)), (3, 0)]
    }
    sealed: dict[tuple[int, int], Sealed] = {}
    fed: dict[Place, int] = defaultdict(int)
    alerts_before = 0
    for number, (side, batch) in enumerate(batches):
        feed(whole, side, batch)
        fed[side, batch.partition] += len(batch.values)
        for (stage, p), moment in moments.items():
            if number == moment and stage == 1:
                sealed[stage, p] = Sealed(whole.sources[p], {s: fed[s, p] for s, _ in batches})
            elif number == moment and stage == 2:
                sealed[stage, p] = Sealed(whole.models[p], len(whole.panes[p]))
            elif number == moment:
                sealed[stage, p] = Sealed(whole.alert_stage, len(whole.findings))
                alerts_before = len(whole.alerts)
    whole.end_of_input(None)
    assert len(whole.alerts) > alerts_before, "nothing was left to say: this proves nothing"

    later = Pipeline(rules, PARTITIONS)
    for p in range(PARTITIONS):
        later.sources[p] = SourceStage.restore(rules, p, PARTITIONS, sealed[1, p].state)
        later.models[p] = ModelStage.restore(rules, p, PARTITIONS, sealed[2, p].state)
    later.alert_stage = AlertStage.restore(rules, PARTITIONS, sealed[3, 0].state)
    findings_said = [model.said(0) for model in later.models]
    panes_said = {q: [source.said(q) for source in later.sources] for q in range(PARTITIONS)}
    later.take_over(
        2**62,
        up_to(whole.findings, sealed[3, 0].applied, findings_said),
        {q: up_to(whole.panes[q], sealed[2, q].applied, said) for q, said in panes_said.items()},
    )
    for side, rest in behind(batches, sealed):
        feed(later, side, rest)
    later.end_of_input(None)

    told_before = [alert.value for alert in whole.alerts[:alerts_before]]
    assert sorted([*told_before, *alert_bytes(later)]) == alert_bytes(whole)
    assert later.ledger() == whole.ledger()


def behind(
    batches: list[tuple[Side, Records]], sealed: dict[tuple[int, int], Sealed]
) -> list[tuple[Side, Records]]:
    """What each source had not applied when it was sealed."""
    found = []
    for side, batch in batches:
        first = sealed[1, batch.partition].applied[side]
        keep = [i for i, offset in enumerate(batch.offsets) if offset >= first]
        if keep:
            start = keep[0]
            found.append(
                (
                    side,
                    Records(
                        batch.topic,
                        batch.partition,
                        batch.offsets[start:],
                        batch.timestamps_ms[start:],
                        batch.values[start:],
                    ),
                )
            )
    return found
