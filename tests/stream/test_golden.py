"""State that a release wrote is read by this tree, and goes on to the same alerts."""

from __future__ import annotations

import pytest

from stream import checkpoint, label_delays
from stream.alert_stage import AlertStage
from stream.model_stage import ModelStage
from stream.pipeline import Pipeline, imbalance
from stream.source_stage import SourceStage
from tests.stream.release_state import FOLDER, PARTITIONS, RULES, Batch, Golden, layout, read
from tests.streams import feed

RELEASES = sorted(folder.name for folder in FOLDER.iterdir())


def test_there_is_golden_state_of_the_first_release() -> None:
    assert "0.1.0" in RELEASES


@pytest.mark.parametrize("release", RELEASES)
def test_from_the_state_of_a_release_records_panes_and_references_go_on_as_if_nothing_had_been(
    release: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = read(release)
    whole = Pipeline(RULES, PARTITIONS)
    with monkeypatch.context() as as_it_was:
        # 0.1.0 decided a maturity by nine in ten of all, or at the horizon, and that stays decided
        as_it_was.setattr(label_delays, "ended", lambda *_: None)
        _feed(whole, golden.before)
    assert whole.journal, "a maturity was decided"
    sealed = len(whole.references)
    restored = _restored(golden)
    for pipeline in (whole, restored):
        _feed(pipeline, golden.behind)
        pipeline.end_of_input(None)
    assert restored.ledger() == whole.ledger()
    assert imbalance(restored.ledger()["total"]) == []
    behind = [reference.value for reference in whole.references[sealed:]]
    assert [reference.value for reference in restored.references] == behind
    assert restored.summary()["models"] == whole.summary()["models"]


def test_the_detectors_of_0_1_0_end_and_those_of_today_begin_behind_its_references() -> None:
    golden = read("0.1.0")
    restored = _restored(golden)
    fired = {alert.fingerprint for alert in restored.alert_stage.active()}
    assert fired, "the state holds alerts that fire"
    _feed(restored, golden.behind)
    restored.end_of_input(None)
    told = [effect.alert for effect in restored.alerts]
    assert fired <= {alert.fingerprint for alert in told if alert.status == "resolved"}
    anew = [alert for alert in told if alert.status == "firing"]
    assert {alert.detector.name for alert in anew} & {"score_cusum", "bernoulli_cusum"}
    assert all(alert.reference.id.startswith("ref-") for alert in anew)


def _feed(pipeline: Pipeline, batches: list[Batch]) -> None:
    for side, batch in batches:
        feed(pipeline, side, batch)


def _restored(golden: Golden) -> Pipeline:
    pipeline = Pipeline(RULES, PARTITIONS)
    for p in range(PARTITIONS):
        pipeline.sources[p] = SourceStage.restore(RULES, p, PARTITIONS, _state(golden, 1, p))
        pipeline.models[p] = ModelStage.restore(RULES, p, PARTITIONS, _state(golden, 2, p))
    pipeline.alert_stage = AlertStage.restore(RULES, PARTITIONS, _state(golden, 3, 0))
    return pipeline


def _state(golden: Golden, stage: int, partition: int) -> dict[str, bytes]:
    found = checkpoint.latest(golden.records[stage], stage, partition, layout(stage))
    assert found is not None
    assert set(found.point.offsets.values()) == {100}
    return dict(found.state)
