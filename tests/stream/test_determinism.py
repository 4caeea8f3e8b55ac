"""Whatever the batching, the interleaving, the crash or the moment of learning: the same bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from stream import closed_panes, early_maturity, open_panes, pending, sorted_runs, waiting_outcomes
from stream import run as runs
from stream.alert_stage import AlertStage
from stream.columns import Group
from stream.events import Effect, ToAlerts, ToJournal, ToPanes
from stream.model_stage import ModelStage
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.pipeline import Pipeline, imbalance
from stream.reference import Reference
from stream.rules import ReferenceRule, Rules
from stream.snapshot import packed
from stream.source_stage import SourceStage
from stream.wire import MaturityDecision, decode_journal
from tests.streams import (
    SMALL,
    Stream,
    alert_bytes,
    dealt,
    draw_events,
    feed,
    outcome,
    prediction,
    records,
    run,
    with_maturity,
)

pytestmark = pytest.mark.usefixtures("parsers_in_turn")

SEEDS = (*range(8), 10, 13)
HURRIED = (10, 13)
"""Those whose first predictions have an early age."""
SIZE = 350
MATURITIES: tuple[int | str | None, ...] = (20_000, "auto", "auto", None)


def mix(seed: int, *, tidy: bool = False, partitions: int = 2) -> tuple[Rules, Stream]:
    random = Random(seed)
    predictions, outcomes = draw_events(random, SIZE, tidy=tidy)
    rules = with_maturity(SMALL, MATURITIES[seed % len(MATURITIES)])
    if seed in HURRIED:
        rules = replace(rules, reference=ReferenceRule(60, 60_000))
        made = {of["prediction_id"]: of["_arrival"] for of in reversed(predictions)}
        for of in outcomes:  # most are soon labelled
            at_ms = made.get(of["prediction_id"], of["_arrival"])
            sooner_ms = max(of["_arrival"] - at_ms, 0) * 19 // 20
            of["_arrival"] -= sooner_ms
            if isinstance(of.get("observed_at"), int):
                of["observed_at"] -= sooner_ms
    return rules, dealt(predictions, outcomes, partitions)


@pytest.fixture(autouse=True)
def few_decide_early(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_maturity, "FIRST", 15)


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
    for name, value in expected.items():
        assert found[name] == value, name


def test_the_streams_of_this_file_tell_and_resolve_alerts_of_every_part() -> None:
    told: Counter[tuple[str, str]] = Counter()
    total: Counter[str] = Counter()
    for seed in SEEDS:
        rules, stream = mix(seed)
        pipeline = run(rules, stream)
        told.update((a.alert.alertname, a.alert.status) for a in pipeline.alerts)
        ledger = pipeline.ledger()
        assert [imbalance(part) for part in ledger["partitions"]] == [[], []]
        total.update(
            {f"{s} {t}": n for s, terms in ledger["total"].items() for t, n in terms.items()}
        )
        total["references"] += len(pipeline.references)
        total["decisions"] += len(pipeline.journal)
        entries = [decode_journal(value) for value in pipeline.journal]
        total["early"] += sum(getattr(e, "until_ms", None) is not None for e in entries)
    for needed in (
        ("FeatureDrift", "firing"),
        ("FeatureDrift", "resolved"),
        ("NullRate", "firing"),
        ("UnseenCategories", "firing"),
        ("BrierScoreDrift", "firing"),
        ("FeatureDriftAdwin", "firing"),
    ):
        assert told[needed] > 0, (needed, told)
    for term in ("late", "future", "duplicate", "dead_lettered", "unjoined", "matured_labelled"):
        assert total[f"predictions {term}"] > 0, term
    for term in ("superseded", "retracted", "orphan_expired", "joined", "duplicate"):
        assert total[f"outcomes {term}"] > 0, term
    assert total["references"] > 0
    assert total["decisions"] > 0
    assert total["early"] > 0


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
        patch.setattr(closed_panes, "BLOCK_BYTES", 300)
        patch.setattr(open_panes, "_COMPACT_CELLS", 24)
        patch.setattr(open_panes, "_MOST_SEGMENTS", 3)
        patch.setattr(waiting_outcomes, "_PURGE_AT_LEAST", 0)
        patch.setattr(pending, "_FORGET_AT_LEAST", 1)
        patch.setattr(sorted_runs, "_SMALL_ROWS", 1)
        patch.setattr(sorted_runs, "FULL_ROWS", 40)
        patch.setattr(runs, "_UNFILTERED_ROWS", 4)
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
@pytest.mark.parametrize("limits", [nullcontext, tiny_limits])
def test_restoring_any_stage_at_any_moment_changes_nothing(
    seed: int, limits: Callable[[], AbstractContextManager[None]]
) -> None:
    rules, stream = mix(seed)
    expected = everything(run(rules, stream, Random(seed), largest=40))
    random, pipeline = Random(seed + 100), Pipeline(rules, 2)
    with limits():
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
            state = packed(pipeline.sources[p].snapshot())
            pipeline.sources[p] = SourceStage.restore(rules, p, 2, state)
        if random.random() < 0.7:
            pipeline.models[p] = ModelStage.restore(
                rules, p, 2, packed(pipeline.models[p].snapshot())
            )
    if random.random() < 0.7:
        pipeline.alert_stage = AlertStage.restore(rules, 2, packed(pipeline.alert_stage.snapshot()))


Handle = Callable[[bytes], list[Effect]]


def tapped(handle: Handle, before: Callable[[bytes], list[bytes]]) -> Handle:
    """Instead of each record, those that `before` says."""

    def instead(value: bytes) -> list[Effect]:
        return [effect for again in before(value) for effect in handle(again)]

    return instead


@pytest.mark.parametrize("seed", SEEDS)
def test_how_often_stage_2_hears_of_the_watermarks_changes_nothing(seed: int) -> None:
    rules, stream = mix(seed)
    found = []
    for release_every in (1, 40, 10_000):
        panes = Panes()
        pipeline = run(rules, stream, Random(seed), observe=panes, release_every=release_every)
        found.append(everything(pipeline, panes))
    assert_same(found[1], found[0])
    assert_same(found[2], found[0])


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

    def hearing(hear: Callable[[bytes], bool], choose: Callable[[bytes], list[bytes]]) -> Any:
        return lambda value: sum(hear(each) for each in choose(value)) > 0

    for model in pipeline.models:
        model.hear = hearing(model.hear, again([]))  # type: ignore[method-assign]
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
    stage.handle = tapped(stage.handle, listen)  # type: ignore[assignment,method-assign]
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
    # an owner of stage 2 goes back to its checkpoint and writes the same once more
    for back in (0, len(written) // 2):
        assert alerts_of(rules, written + written[back:]) == expected


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
            self._perform(source.learn(entry.model_id, entry.maturity_ms, entry.until_ms))
            self._perform(source.announce())
        self.heard[partition] = []
        self.release()


@pytest.mark.parametrize("seed", [seed for seed in SEEDS if seed % 4 in {1, 2}])
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
        while any(pipeline.heard.values()):  # one decision may wait for another
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
        prediction(f"p{i}-{model}", 1_000 * i, model_id=model, features=dict(features))
        for i in range(size)
        for model in models
    ]


@pytest.mark.parametrize("size", [1, 7, 150, 200])
def test_a_feature_that_appears_after_sealing_does_not_show_in_the_reference(size: int) -> None:
    events = steady(("m",), 200, x=1.5)
    for event in events[100:]:
        event["features"]["later"] = 2.5
    pipeline = Pipeline(with_maturity(SMALL, None), 1)
    for first in range(0, 200, size):
        pipeline.predictions(records(events[first : first + size], first_offset=first))
    tables = [Reference.decode(sealed.value).table for sealed in pipeline.references]
    known = [{"feature:x", "prediction:label"}, {"feature:later"}]  # it gets one of its own
    assert [set(table.features) for table in tables] == known
    assert [set(table.sample.columns) for table in tables] == known


@pytest.mark.parametrize("size", [1, 10, 1_000])
def test_deciding_the_maturity_of_one_model_loses_no_finding_of_another(size: int) -> None:
    """Both on one partition; all of both is released together with the first one's decision."""
    events = steady(("a", "b"), 400)
    for i, event in enumerate(events):
        shift = 50.0 if event["model_id"] == "b" and i >= 400 else 0.0
        event["features"] = {"x": i // 2 % 5 + shift}
    outcomes = [
        outcome(e["prediction_id"], e["predicted_at"] + 5_000, model_id="a")
        for e in events
        if e["model_id"] == "a"
    ]
    pipeline = Pipeline(with_maturity(SMALL, "auto"), 1)
    pipeline.outcomes(records(outcomes, "outcomes"))
    for first in range(0, len(events), size):
        pipeline.predictions(records(events[first : first + size], first_offset=first))
    pipeline.end_of_input(None)
    assert len(pipeline.journal) == 2
    means = [a.alert for a in pipeline.alerts if a.alert.alertname == "FeatureDriftAdwin"]
    told = [(a.model.id, a.scope.feature, a.status) for a in means]
    assert told == [("b", "x", "firing")]


def test_which_reference_a_version_inherits_does_not_depend_on_the_batching() -> None:
    """2 begins with the reference of 1 and seals its own after 3 has begun; `0` has sealed a
    newer one between the two beginnings, but began before 2."""

    def of(version: str, first_s: int, last_s: int, every_s: int) -> list[dict[str, Any]]:
        return [
            prediction(f"{version}-{t}", 1_000 * t, model_version=version, features={"x": t % 7})
            for t in range(first_s, last_s, every_s)
        ]

    events = of("1", 0, 70, 1) + of("0", 60, 200, 1) + of("2", 100, 900, 5) + of("3", 300, 900, 5)
    events.sort(key=lambda event: event["predicted_at"])
    for event in events:
        if event["model_version"] == "3" and event["predicted_at"] >= 500_000:
            event["features"]["x"] += 50  # told before 3 has a reference of its own
    said = []
    for size in (1, 10_000):
        pipeline = Pipeline(with_maturity(SMALL, None), 1)
        for first in range(0, len(events), size):
            pipeline.predictions(records(events[first : first + size], first_offset=first))
        pipeline.end_of_input(None)
        told = [a.alert for a in pipeline.alerts if a.alert.model.version == "3"]
        sealed = {r.key.decode(): Reference.decode(r.value).group[1] for r in pipeline.references}
        said.append([(alert.status, sealed[alert.reference.id]) for alert in told])
    assert said[0][0] == ("firing", "1")
    assert said[1] == said[0]
