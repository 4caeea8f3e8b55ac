"""Whatever the batching, the interleaving, the crash or the moment of learning: the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import Random
from typing import Any

import pytest

from stream import identity, outcome_join, source_stage
from stream.alert_stage import AlertStage
from stream.columns import Group
from stream.events import Effect, ToAlerts, ToJournal, ToPanes
from stream.model_stage import ModelStage
from stream.panes import PaneTable
from stream.pipeline import Pipeline, imbalance
from stream.reference import Reference
from stream.rules import Rules
from stream.source_stage import SourceStage
from stream.wire import MaturityDecision, PaneKind, decode_journal
from tests.streams import (
    SMALL,
    Stream,
    alert_bytes,
    dealt,
    draw_events,
    feed,
    outcome,
    prediction,
    run,
    with_maturity,
)

SEEDS = range(8)
SIZE = 350
MATURITIES: tuple[int | str | None, ...] = (20_000, "auto", "auto", None)


def mix(seed: int, *, tidy: bool = False, partitions: int = 2) -> tuple[Rules, Stream]:
    random = Random(seed)
    predictions, outcomes = draw_events(random, SIZE, tidy=tidy)
    rules = with_maturity(SMALL, MATURITIES[seed % len(MATURITIES)])
    return rules, dealt(predictions, outcomes, partitions)


class Panes:
    """Collects the merged panes of a run."""

    def __init__(self) -> None:
        self.seen: dict[tuple[PaneKind, Group, int], dict[str, Any]] = {}

    def __call__(self, kind: PaneKind, group: Group, table: PaneTable) -> None:
        for i, end in enumerate(table.pane_end.tolist()):
            place = (kind, group, end)
            assert place not in self.seen, "a pane is merged once"
            self.seen[place] = _comparable(table.summary(i))


def _comparable(summary: dict[str, Any]) -> dict[str, Any]:
    features = {
        name: {k: repr(v) if k in {"min", "max"} else v for k, v in feature.items()}
        for name, feature in summary["features"].items()
    }
    return {**summary, "features": features}


def observed(rules: Rules, stream: Stream, random: Random, largest: int) -> dict[str, Any]:
    panes = Panes()
    return everything(run(rules, stream, random, largest=largest, observe=panes), panes)


def everything(pipeline: Pipeline, panes: Panes | None = None) -> dict[str, Any]:
    """All that a run says, in an order of its own."""
    letters = [(x.letter.topic, x.letter.partition, x.letter.offset) for x in pipeline.dead_letters]
    return {
        "panes": None if panes is None else panes.seen,
        "ledger": pipeline.ledger(),
        "journal": sorted(pipeline.journal),
        "dead": sorted(letters),
        "references": sorted((r.key, r.value) for r in pipeline.references),
        "alerts": alert_bytes(pipeline),
    }


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name in expected:
        assert found[name] == expected[name], name


def test_the_streams_of_this_file_tell_and_resolve_alerts_of_every_part() -> None:
    told: Counter[tuple[str, str]] = Counter()
    total: Counter[str] = Counter()
    for seed in SEEDS:
        rules, stream = mix(seed)
        pipeline = run(rules, stream)
        told.update((a.alert.alertname, a.alert.status) for a in pipeline.alerts)
        ledger = pipeline.ledger()
        assert [imbalance(part) for part in ledger["partitions"]] == [[], []]
        total.update({f"{s} {t}": n for s, terms in ledger["total"].items() for t, n in terms.items()})
        total["references"] += len(pipeline.references)
        total["decisions"] += len(pipeline.journal)
    for needed in (
        ("FeatureDrift", "firing"),
        ("FeatureDrift", "resolved"),
        ("NullRate", "firing"),
        ("UnseenCategories", "firing"),
        ("ErrorRateDrift", "firing"),
    ):
        assert told[needed] > 0, (needed, told)
    for term in ("late", "future", "duplicate", "dead_lettered", "unjoined", "matured_labelled"):
        assert total[f"predictions {term}"] > 0, term
    for term in ("superseded", "retracted", "orphan_expired", "joined", "duplicate"):
        assert total[f"outcomes {term}"] > 0, term
    assert total["references"] > 0
    assert total["decisions"] > 0


@pytest.mark.parametrize("seed", SEEDS)
def test_any_batching_and_interleaving_gives_the_same_panes_ledger_and_alert_bytes(
    seed: int,
) -> None:
    rules, stream = mix(seed)
    expected = observed(rules, stream, Random(0), 10**6)
    for order in (1, 2):
        found = observed(rules, stream, Random(order), (7, 60)[order % 2])
        assert_same(found, expected)


@contextmanager
def tiny_limits() -> Iterator[None]:
    """Blocks of a few rows, panes summed early, memories purged at every chance."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source_stage, "_BLOCK_ROWS", 5)
        patch.setattr(source_stage, "_COMPACT_ROWS", 3)
        patch.setattr(outcome_join, "_PURGE_AT_LEAST", 0)
        patch.setattr(identity, "_PURGE_AT_LEAST", 0)
        yield


@pytest.mark.parametrize("seed", SEEDS)
def test_however_cut_into_blocks_and_whenever_purged_nothing_changes(seed: int) -> None:
    rules, stream = mix(seed)
    expected = observed(rules, stream, Random(0), 200)
    with tiny_limits():
        found = observed(rules, stream, Random(1), 20)
    assert_same(found, expected)


@pytest.mark.parametrize("seed", SEEDS)
def test_tidy_streams_give_the_same_alert_bytes_on_1_2_and_4_partitions(seed: int) -> None:
    told = []
    for partitions in (1, 2, 4):
        rules, stream = mix(seed, tidy=True, partitions=partitions)
        pipeline = run(rules, stream, Random(partitions), largest=40)
        total = pipeline.ledger()["total"]
        assert total["predictions"]["late"] == 0
        told.append((alert_bytes(pipeline), sorted(r.key for r in pipeline.references)))
    assert told[0][0]
    assert told[1] == told[0]
    assert told[2] == told[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_restoring_any_stage_at_any_moment_changes_nothing(seed: int) -> None:
    rules, stream = mix(seed)
    expected = everything(run(rules, stream, Random(seed), largest=40))
    random, pipeline = Random(seed + 100), Pipeline(rules, 2)
    for side, batch in stream.batches(Random(seed), 40):
        feed(pipeline, side, batch)
        if random.random() < 0.4:
            restore_some(pipeline, rules, random)
    restore_some(pipeline, rules, random)
    pipeline.end_of_input(None)
    assert_same(everything(pipeline), expected)


def restore_some(pipeline: Pipeline, rules: Rules, random: Random) -> None:
    for p in range(2):
        if random.random() < 0.7:
            state = pipeline.sources[p].snapshot()
            pipeline.sources[p] = SourceStage.restore(rules, p, 2, state)
        if random.random() < 0.7:
            pipeline.models[p] = ModelStage.restore(rules, p, 2, pipeline.models[p].snapshot())
    if random.random() < 0.7:
        pipeline.alert_stage = AlertStage.restore(rules, 2, pipeline.alert_stage.snapshot())


Handle = Callable[[bytes], list[Effect]]


def tapped(handle: Handle, before: Callable[[bytes], list[bytes]]) -> Handle:
    """Instead of each record, those that `before` says."""

    def instead(value: bytes) -> list[Effect]:
        return [effect for again in before(value) for effect in handle(again)]

    return instead


@pytest.mark.parametrize("seed", SEEDS)
def test_pane_records_sent_again_change_nothing(seed: int) -> None:
    """Each twice, and now and then the last few of the topic once more."""
    rules, stream = mix(seed)
    expected = everything(run(rules, stream, Random(seed)))
    random, pipeline = Random(seed), Pipeline(rules, 2)
    resent = 0

    def again(sent: list[bytes]) -> Callable[[bytes], list[bytes]]:
        def choose(value: bytes) -> list[bytes]:
            nonlocal resent
            sent.append(value)
            suffix = sent[-random.randint(1, 30) :] if random.random() < 0.2 else []
            resent += 1 + len(suffix)
            return [value, value, *suffix]

        return choose

    for model in pipeline.models:
        model.handle = tapped(model.handle, again([]))  # type: ignore[method-assign]
    for side, batch in stream.batches(Random(seed), 50):
        feed(pipeline, side, batch)
    pipeline.end_of_input(None)
    assert resent > 100
    assert_same(everything(pipeline), expected)


def findings_of(rules: Rules, stream: Stream) -> list[bytes]:
    """All records that stage 2 wrote to the findings topic, in order."""
    written: list[bytes] = []

    def listen(value: bytes) -> list[bytes]:
        written.append(value)
        return [value]

    pipeline = Pipeline(rules, len(stream.predictions))
    stage = pipeline.alert_stage
    stage.handle = tapped(stage.handle, listen)  # type: ignore[method-assign]
    for side, batch in stream.batches(Random(3), 15):
        feed(pipeline, side, batch)
    pipeline.end_of_input(None)
    return written


def alerts_of(rules: Rules, written: list[bytes]) -> list[bytes]:
    stage = AlertStage(rules, 2)
    told = [effect for value in written for effect in stage.handle(value)]
    return [effect.value for effect in told if isinstance(effect, ToAlerts)]


@pytest.mark.parametrize("seed", SEEDS)
def test_findings_sent_again_change_no_alert(seed: int) -> None:
    rules, stream = mix(seed)
    written = findings_of(rules, stream)
    expected = alerts_of(rules, written)
    assert expected
    assert alerts_of(rules, [value for value in written for _ in (1, 2)]) == expected
    back, crash = sorted(Random(seed).sample(range(len(written)), 2))
    # an owner of stage 2 goes back to its checkpoint and writes the same once more
    assert alerts_of(rules, written[:crash] + written[back:]) == expected


class LearningLate(Pipeline):
    """Source partitions hear of decisions when it pleases them."""

    def __init__(self, rules: Rules, partitions: int, **options: Any) -> None:
        super().__init__(rules, partitions, **options)
        self.heard: dict[int, list[MaturityDecision]] = {p: [] for p in range(partitions)}

    def _journaled(self, effect: ToJournal) -> list[Effect]:
        self.journal.append(effect.value)
        entry = decode_journal(effect.value)
        assert isinstance(entry, MaturityDecision)
        for waiting in self.heard.values():
            waiting.append(entry)
        return []

    def learn(self, partition: int) -> None:
        source = self.sources[partition]
        for entry in self.heard[partition]:
            self._perform(source.learn(entry.model_id, entry.maturity_ms))
            self._perform(source.announce())
        self.heard[partition] = []


@pytest.mark.parametrize("seed", [seed for seed in range(12) if seed % 4 in {1, 2}])
def test_the_moment_at_which_a_partition_learns_the_maturity_changes_nothing(seed: int) -> None:
    rules, stream = mix(seed)
    expected = observed(rules, stream, Random(0), 20)
    for patience in (0.05, 0.0):  # 0: only after the end of the input
        random, panes = Random(seed), Panes()
        pipeline = LearningLate(rules, 2, observe=panes)
        for side, batch in stream.batches(Random(1), 20):
            feed(pipeline, side, batch)
            for p in range(2):
                if random.random() < patience:
                    pipeline.learn(p)
        pipeline.end_of_input(None)
        for p in (1, 0):
            pipeline.learn(p)
        assert_same(everything(pipeline, panes), expected)


def test_effects_of_one_run_are_the_same_bytes_as_those_of_another() -> None:
    rules, stream = mix(1)
    sent = []
    for _ in range(2):
        stage = SourceStage(rules, 0, 1)
        effects: list[Effect] = []
        for side, batch in stream.batches(Random(0), 30):
            if batch.partition == 0:
                taken = stage.predictions(batch) if side == "predictions" else stage.outcomes(batch)
                effects += taken
        sent.append([e.value for e in effects if isinstance(e, ToPanes)])
    assert sent[0] == sent[1]
    assert len(sent[0]) > 50


def steady(models: tuple[str, ...], size: int, **features: Any) -> list[dict[str, Any]]:
    return [
        prediction(f"p{i}-{model}", 1_000 * i, model_id=model, features=dict(features), _arrival=i)
        for i in range(size)
        for model in models
    ]


def test_a_feature_that_appears_after_sealing_does_not_show_in_the_reference() -> None:
    events = steady(("m",), 200, x=1.5)
    for event in events[100:]:
        event["features"]["later"] = 2.5
    stream = dealt(events, [], 1)
    for largest in (1, 1_000):
        pipeline = run(SMALL, stream, largest=largest)
        (sealed,) = pipeline.references
        table = Reference.decode(sealed.value).table
        assert "feature:later" not in table.features
        assert "feature:later" not in table.sample.columns
    assert len({run(SMALL, stream, largest=n).references[0].key for n in (1, 7, 1_000)}) == 1


def test_deciding_the_maturity_of_one_model_loses_no_finding_of_another() -> None:
    """Both models are on the same partition; the second has a shift at the very pane that is
    released together with the first one's decision."""
    events = steady(("a", "b"), 400)
    for i, event in enumerate(events):
        shifted = event["model_id"] == "b" and i >= 400
        event["features"] = {"x": float(i % 5) + (50.0 if shifted else 0.0)}
    outcomes = [
        outcome(e["prediction_id"], e["predicted_at"] + 5_000, model_id="a", _arrival=i)
        for i, e in enumerate(events)
        if e["model_id"] == "a"
    ]
    rules = with_maturity(SMALL, "auto")
    told = []
    for largest in (1, 10_000):
        pipeline = run(rules, dealt(events, outcomes, 1), largest=largest)
        assert len(pipeline.journal) == 1
        told.append(alert_bytes(pipeline))
    assert any(b'"feature":"x"' in value for value in told[0])
    assert told[0] == told[1]
