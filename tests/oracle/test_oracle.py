"""The pipeline agrees exactly with the naive oracle, whatever the mix, the cuts and the order."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from stream import early_maturity
from stream.events import Records
from stream.pipeline import Pipeline
from stream.wire import MaturityDecision, decode_journal
from tests.oracle.mixes import Mix, draw_mix, hurried
from tests.oracle.oracle import Answer, answer
from tests.oracle.reading import Limits
from tests.oracle.tally import FeatureTally, PaneTally
from tests.oracle.world import Raw
from tests.oracle.worlds import draw_world, rules_of

pytestmark = pytest.mark.usefixtures("parsers_in_turn")

TOPICS = {"predictions": "leeway.predictions", "outcomes": "leeway.outcomes"}
SIZE = 120


class Run:
    """One run of the pipeline over a mix, in an order and cuts of the random source's choice."""

    def __init__(self, mix: Mix, random: Random, *, largest_batch: int = 40) -> None:
        self.panes: dict[tuple[str, tuple[str, str, str, str], int], PaneTally] = {}
        self.last_end: dict[tuple[str, tuple[str, str, str, str]], int] = {}
        self.mix = mix
        self.partitions = len(mix.predictions)
        self.pipeline = Pipeline(rules_of(mix.world), self.partitions, observe=self._observe)
        for side, partition, raws in batches(mix, random, largest_batch):
            records = Records(
                topic=TOPICS[side],
                partition=partition,
                offsets=[offset for offset, _, _ in raws],
                timestamps_ms=[timestamp for _, timestamp, _ in raws],
                values=[value for _, _, value in raws],
            )
            getattr(self.pipeline, side)(records)

    def _observe(self, kind: str, group: tuple[str, str, str, str], panes: Any) -> None:
        for i, end in enumerate(panes.pane_end.tolist()):
            assert end > self.last_end.get((kind, group), end - 1), "pane ends must rise"
            self.last_end[kind, group] = end
            found = pane_tally(panes.summary(i))
            assert found.rows == int(panes.rows[i])
            self.panes[kind, group, end] = found

    @property
    def ledger(self) -> list[dict[str, dict[str, int]]]:
        found: dict[str, Any] = self.pipeline.ledger()
        return list(found["partitions"])

    @property
    def dead(self) -> list[tuple[str, int, int, str]]:
        sides = {topic: side for side, topic in TOPICS.items()}
        letters = [effect.letter for effect in self.pipeline.dead_letters]
        return sorted((sides[x.topic], x.partition, x.offset, x.reason) for x in letters)

    @property
    def decided(self) -> list[MaturityDecision]:
        entries = [decode_journal(entry) for entry in self.pipeline.journal]
        return [entry for entry in entries if isinstance(entry, MaturityDecision)]


def batches(mix: Mix, random: Random, largest: int) -> Iterator[tuple[str, int, list[Raw]]]:
    """Both topics of all partitions in any interleaving; only the order inside one is kept."""
    left = {
        (side, partition): list(raws)
        for side, dealt in (("predictions", mix.predictions), ("outcomes", mix.outcomes))
        for partition, raws in enumerate(dealt)
    }
    while any(left.values()):
        side, partition = random.choice([key for key, raws in left.items() if raws])
        size = random.randint(1, largest)
        yield side, partition, left[side, partition][:size]
        del left[side, partition][:size]


def pane_tally(summary: dict[str, Any]) -> PaneTally:
    return PaneTally(
        rows=summary["rows"],
        features={
            name: FeatureTally(
                number=found["number"],
                text=found["text"],
                null=found["null"],
                other=found["other"],
                minimum=found["min"] if found["number"] else None,
                maximum=found["max"] if found["number"] else None,
                total=found["sum"],
                squares=found["squares"],
                buckets=Counter(found["buckets"]),
                categories=dict(found["categories"]),
            )
            for name, found in summary["features"].items()
        },
        sample=[int(row) for row in summary["sample"]],
    )


def assert_agrees(run: Run, *, ended: bool) -> Answer:
    mix = run.mix
    expected = answer(mix.world, mix.predictions, mix.outcomes, ended=ended)
    assert run.dead == expected.dead
    of_all = [e for e in run.decided if e.until_ms is None]
    early = [e for e in run.decided if e.until_ms is not None]
    assert {e.model_id: (e.maturity_ms, e.decided_at_ms) for e in of_all} == expected.decisions
    assert {e.model_id: (e.maturity_ms, e.decided_at_ms, e.until_ms) for e in early} == {
        model_id: age[:3] for model_id, age in expected.decisions.early.items()
    }
    assert run.ledger == expected.ledger
    assert sorted(run.panes) == sorted(expected.panes)
    for key, pane in expected.panes.items():
        assert run.panes[key] == pane, key
    return expected


def end(run: Run) -> None:
    before = answer(run.mix.world, run.mix.predictions, run.mix.outcomes, ended=False)
    marks = [mark for marks in before.watermarks for mark in marks.values() if mark is not None]
    run.pipeline.end_of_input(max(marks, default=None))


@pytest.mark.parametrize("seed", range(40))
def test_the_pipeline_agrees_with_the_oracle_before_and_at_the_end(seed: int) -> None:
    random = Random(seed)
    run = Run(draw_mix(random, SIZE), random)
    assert_agrees(run, ended=False)
    end(run)
    assert_agrees(run, ended=True)


def test_early_ages_agree_with_the_oracle_at_any_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    reached: Counter[str] = Counter()
    for seed in range(200, 230):
        random = Random(seed)
        mix = hurried(draw_mix(random, SIZE), random)
        monkeypatch.setattr(early_maturity, "FIRST", mix.world.first)
        run = Run(mix, random, largest_batch=random.choice((1, 3, 1000)))
        assert_agrees(run, ended=False)
        end(run)
        decisions = assert_agrees(run, ended=True).decisions
        for model_id, early in decisions.early.items():
            is_kept = decisions.get(model_id, (None, 0))[0] == early.age
            reached["borne out" if is_kept else "refuted"] += 1
    assert min(reached["borne out"], reached["refuted"]) >= 3


def test_the_oracle_was_asked_of_further_ages_too() -> None:
    young = 0
    for seed in range(10):
        random = Random(seed)
        panes = Run(draw_mix(random, SIZE), random).panes
        young += sum(kind.startswith("cohort@") for kind, _, _ in panes)
    assert young > 20


def one_pane(values: list[object]) -> PaneTally:
    """The only pane of predictions with these values of f; it agrees with the oracle."""
    random = Random(0)
    event = {"model_id": "m", "model_version": "1", "predicted_at": 1_000}
    said = {"prediction": {"value": 1}}
    raws: list[Raw] = [
        (
            i,
            None,
            json.dumps({**event, "prediction_id": f"p{i}", "features": {"f": f}, **said}).encode(),
        )
        for i, f in enumerate(values)
    ]
    world = replace(draw_world(random), limits=Limits(20_000, 12, frozenset()))
    run = Run(Mix(world, [raws], [[]]), random)
    run.pipeline.end_of_input(None)
    assert_agrees(run, ended=True)
    (pane,) = run.panes.values()
    return pane


def test_categories_that_differ_only_beyond_the_shown_text_keep_their_counts() -> None:
    pane = one_pane(["x" * 64 + tail for tail in ("a", "b", "b")])
    assert sorted(pane.features["feature:f"].categories.values()) == [1, 2]


def test_numbers_nearer_to_zero_than_a_googolth_are_zero() -> None:
    pane = one_pane([9.9e-101, -5e-324, 1e-100])
    assert pane.features["feature:f"].squares == Fraction(1e-100) ** 2
    assert pane.features["feature:f"].buckets[0] == 2


@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(random=st.randoms(use_true_random=False), size=st.integers(0, 40))
def test_any_mix_in_any_cuts_and_interleaving_agrees_with_the_oracle(
    random: Random, size: int
) -> None:
    run = Run(draw_mix(random, size), random, largest_batch=random.choice((1, 3, 1000)))
    end(run)
    assert_agrees(run, ended=True)


def test_performance_figures_of_the_cohorts_equal_the_oracle_s() -> None:
    labelled = errors = rows = 0
    for seed in range(100, 112):
        random = Random(seed)
        run = Run(draw_mix(random, SIZE), random)
        run.pipeline.end_of_input(None)  # the greatest event time of what was fed
        expected = assert_agrees(run, ended=True)
        for (kind, _, _), pane in run.panes.items():
            if kind == "cohort":
                error = pane.features.get("outcome:error", FeatureTally())
                rows += pane.rows
                labelled += error.number
                errors += int(error.total)
        figures: dict[str, Any] = run.pipeline.summary()
        matured = [sum(column) for column in zip((0, 0), *expected.coverage.values(), strict=True)]
        assert figures["joined"] == sum(part["outcomes"]["joined"] for part in expected.ledger)
        if matured[1]:
            assert figures["label_coverage"] == matured[0] / matured[1]
    assert 0 < errors < labelled < rows
