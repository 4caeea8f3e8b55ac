"""References that are deployed with a version: what live predictions are compared with from the
first on, and what is learned from them beside it."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.control import ControlError, decode
from stream.deployment import Deployment, of_source, opened, sealed, terms
from stream.events import Alert
from stream.model_stage import ModelStage
from stream.pipeline import Pipeline
from stream.reference import VERSION, Reference
from stream.renewals import Renewal
from stream.rules import BudgetRule, ModelRule, ReferenceRule, Rules
from stream.snapshot import BrokenRecordError, pack, packed, unpack
from stream.wire import Renewed, decode_journal, encode_journal
from tests.streams import Event, alert_bytes, outcome, prediction, records

RULES = Rules(
    pane_ms=1_000,
    grace_ms=1_000,
    future_bound_ms=None,
    maturity=5_000,
    reference=ReferenceRule(predictions=1_000, span_ms=60_000),
    budget=BudgetRule(predictions=100_000, span_ms=86_400_000),
)
EVERY_MS = 200
START_MS = 1_700_000_000_000


def events(
    size: int, *, seed: int = 1, x: float = 0.0, version: str = "1", start_ms: int = START_MS
) -> list[Event]:
    """With a feature of this mean, one that is always there, and answers that take a while."""
    random = Random(seed)
    return [
        prediction(
            f"{version}-{seed}-{i}",
            start_ms + EVERY_MS * i,
            model_version=version,
            features={"x": random.gauss(x, 1.0), "y": random.gauss(5.0, 2.0)},
            prediction={"label": random.choice(("yes", "no")), "score": random.random()},
            latency_ms=random.expovariate(0.1),
        )
        for i in range(size)
    ]


def outcomes_of(predictions: Sequence[Event]) -> list[Event]:
    return [
        outcome(p["prediction_id"], p["predicted_at"] + 1_000, actual=dict(p["prediction"]))
        for p in predictions
    ]


def run(
    predictions: Sequence[Event],
    deployed: Sequence[Renewed] = (),
    *,
    rules: Rules = RULES,
    batch: int = 97,
    restore_every: int = 0,
) -> Pipeline:
    pipeline = Pipeline(rules, 1)
    for one in deployed:
        pipeline.models[0].renew(one)
    outcomes = outcomes_of(predictions)
    for n, first in enumerate(range(0, len(predictions), batch)):
        part = slice(first, first + batch)
        pipeline.predictions(records(predictions[part], first_offset=first))
        pipeline.outcomes(records(outcomes[part], "outcomes", first_offset=first))
        if restore_every and n % restore_every == 0:
            state = packed(pipeline.models[0].snapshot())
            pipeline.models[0] = ModelStage.restore(rules, 0, 1, state)
    pipeline.end_of_input(None)
    return pipeline


def trained(size: int = 1_500, *, seed: int = 9, version: str = "1") -> list[Reference]:
    """References as training data of a year before would make them."""
    rules = replace(RULES, reference=ReferenceRule(predictions=size - 200, span_ms=1_000))
    rows = events(size, seed=seed, version=version, start_ms=START_MS - 31_536_000_000)
    found = [Reference.decode(one.value) for one in run(rows, rules=rules).references]
    assert {one.kind for one in found} == {"prediction", "cohort"}
    return [of_source(one, "training") for one in found]


TRAINED = trained()
SEALED = [sealed(one) for one in TRAINED]


def renewed(
    at_ms: int = 0, *, version: str = "1", references: Any = SEALED, at: int = 7
) -> Renewed:
    return Renewed(2, 0, 0, at, at_ms, "m", version, references)


def told(pipeline: Pipeline, name: str = "FeatureDrift") -> list[Alert]:
    alerts = [one.alert for one in pipeline.sorted_alerts()]
    return [one for one in alerts if one.alertname == name and one.sequence == 1]


# -- what is compared


def test_a_feature_that_is_otherwise_from_the_first_prediction_on_is_told_as_skew() -> None:
    skewed = events(600, x=1.0)
    assert not run(skewed).alerts, "a worker that has seen nothing else takes it for usual"
    (alert,) = told(run(skewed, [renewed()]))
    assert alert.scope.feature == "x"
    law = next(one for one in TRAINED if one.kind == "prediction")
    assert (alert.reference.id, alert.reference.count) == (law.id, law.count)
    assert alert.window.count <= 250
    assert "against training, from the first predictions on: skew, not drift" in alert.summary
    assert alert.evidence["reference"]["source"] == "training"
    assert alert.evidence["reference"]["skew"]


def test_what_changes_later_is_drift_against_training() -> None:
    later = events(900) + events(600, seed=2, x=1.0, start_ms=START_MS + 900 * EVERY_MS)
    (alert,) = told(run(later, [renewed()]))
    assert alert.summary.endswith("against training")
    assert "skew" not in alert.evidence["reference"]


def test_what_changes_behind_a_live_reference_of_few_is_drift_too() -> None:
    later = events(900) + events(600, seed=2, x=1.0, start_ms=START_MS + 900 * EVERY_MS)
    rules = replace(RULES, reference=ReferenceRule(predictions=300, span_ms=60_000))
    (alert,) = told(run(later, [renewed()], rules=rules))
    assert alert.summary.endswith("against training")


def test_live_predictions_like_those_of_training_tell_nothing_before_or_behind_their_own() -> None:
    pipeline = run(events(6_000, seed=4), [renewed()])
    assert pipeline.references, "a live one is sealed beside it"
    assert not pipeline.alerts


def test_the_deployed_reference_stays_the_measure_when_a_live_one_is_sealed() -> None:
    late = events(3_000) + events(600, seed=2, x=1.0, start_ms=START_MS + 3_000 * EVERY_MS)
    pipeline = run(late, [renewed()])
    (alert,) = told(pipeline)
    ids = {one.id for one in TRAINED}
    assert alert.reference.id in ids
    assert not ids & {one.key.decode() for one in pipeline.references}


def test_a_version_that_answers_already_is_compared_from_the_next_pane_on() -> None:
    at_ms = START_MS + 2_000 * EVERY_MS
    pipeline = run(events(3_000, x=1.0), [renewed(at_ms)])
    (alert,) = told(pipeline)
    assert alert.evaluated_at > "2023-11-14T22:20:00.000Z"
    assert alert.evidence["reference"]["skew"]


def test_what_fires_ends_when_a_reference_is_deployed() -> None:
    moved = events(1_500) + events(1_500, seed=2, x=2.0, start_ms=START_MS + 1_500 * EVERY_MS)
    at_ms = START_MS + 2_000 * EVERY_MS
    alerts = [one.alert for one in run(moved, [renewed(at_ms)]).sorted_alerts()]
    of_x = [a for a in alerts if a.alertname == "FeatureDrift" and a.scope.feature == "x"]
    of_x = [a for a in of_x if a.status == "resolved" or a.sequence == 1]
    assert [a.status for a in of_x[:3]] == ["firing", "resolved", "firing"]
    assert "(a new reference was deployed)" in of_x[1].summary


def test_it_is_of_that_version_alone_and_of_no_successor() -> None:
    of_2 = events(600, x=1.0, version="2")
    assert not told(run(of_2, [renewed()]))
    both = events(1_500) + events(
        600, seed=5, x=1.0, version="2", start_ms=START_MS + 1_500 * EVERY_MS
    )
    (alert,) = told(run(both, [renewed()]))
    assert alert.reference.id not in {one.id for one in TRAINED}, "v2 inherits the live one of v1"


def test_an_acceptance_ends_it_and_the_last_of_all_counts() -> None:
    skewed = events(3_000, x=1.0)
    accepted = Renewed(2, 0, 0, 8, 1, "m", None)
    assert not run(skewed, [renewed(), accepted]).alerts
    assert told(run(skewed, [accepted, renewed(2, at=9)]))


def test_outcomes_are_compared_with_those_of_the_file_and_their_delay_is_not() -> None:
    rows = events(900)
    wrong = [row | {"prediction": row["prediction"] | {"label": "yes"}} for row in rows]
    pipeline = Pipeline(RULES, 1)
    pipeline.models[0].renew(renewed())
    judged = outcomes_of(rows)[: len(rows) // 2 * 2 : 2]  # half of them have none, ever
    pipeline.predictions(records(wrong))
    pipeline.outcomes(records(judged, "outcomes"))
    pipeline.outcomes(records([outcome("none", START_MS + 10**6)], "outcomes", first_offset=999))
    pipeline.end_of_input(None)
    (alert,) = told(pipeline, "ErrorRateDrift")
    assert alert.reference.id in {one.id for one in TRAINED if one.kind == "cohort"}
    assert alert.summary.endswith("against training, from the first judged predictions on")
    assert not told(pipeline, "LabelDelay"), "half are missing, but of that training says nothing"


def test_what_a_file_does_not_know_is_learned_from_live_predictions() -> None:
    law = next(one for one in TRAINED if one.kind == "prediction")
    assert not law.knows("prediction:latency_ms")
    slow = events(3_000) + [
        row | {"latency_ms": 60.0 + row["latency_ms"]}
        for row in events(600, seed=2, start_ms=START_MS + 3_000 * EVERY_MS)
    ]
    (alert,) = told(run(slow, [renewed()]), "LatencyDrift")
    assert alert.reference.id not in {one.id for one in TRAINED}
    assert "training" not in alert.summary


def test_values_that_come_in_sessions_are_measured_before_they_are_told() -> None:
    """Rows of training are in any order, so nothing in them says that live values depend."""
    random = Random(5)
    told_of = 0
    for seed in range(12):
        rows = events(2_400, seed=seed + 20)
        for first in range(0, len(rows), 6):
            x = random.gauss(0.0, 1.0)
            for row in rows[first : first + 6]:
                row["features"]["x"] = x
        told_of += len(told(run(rows, [renewed()])))
    assert told_of == 0


def test_a_version_has_a_reference_once_one_is_deployed() -> None:
    asked = replace(RULES, requires=("reference",))
    rows = events(300)
    (unready,) = told(run(rows, rules=asked), "VersionUnready")
    assert "reference" in unready.summary
    assert not told(run(rows, [renewed()], rules=asked), "VersionUnready")


def test_it_is_shown_with_what_it_is_of_and_from_when_on() -> None:
    (first, second) = run(events(50), [renewed(START_MS)]).summary()["deployed"]
    assert {first["kind"], second["kind"]} == {"prediction", "cohort"}
    assert (first["model"], first["version"], first["source"]) == ("m", "1", "training")
    assert first["from"] == "2023-11-14T22:13:20.000Z"
    assert "deployed" not in run(events(50)).summary()


# -- the same bytes


LATE = events(1_400) + events(700, seed=2, x=0.8, start_ms=START_MS + 1_400 * EVERY_MS)


@pytest.mark.parametrize("at_ms", [0, START_MS + 700 * EVERY_MS])
def test_neither_batches_nor_restarts_show(at_ms: int) -> None:
    whole = run(LATE, [renewed(at_ms)], batch=len(LATE))
    assert told(whole)
    for batch, restore_every in ((1_000, 1), (53, 1), (11, 7), (300, 0)):
        other = run(LATE, [renewed(at_ms)], batch=batch, restore_every=restore_every)
        assert alert_bytes(other) == alert_bytes(whole)
        assert [r.value for r in other.references] == [r.value for r in whole.references]


def test_the_state_holds_it_and_it_comes_into_force_once() -> None:
    stage = ModelStage(RULES, 0, 1)
    stage.renew(renewed())
    stage.renew(renewed(5))
    again = ModelStage.restore(RULES, 0, 1, packed(stage.snapshot()))
    assert again.has_activated(7)
    assert again.deployed() == stage.deployed()
    assert packed(again.snapshot()) == packed(stage.snapshot())


def test_a_state_without_one_has_no_byte_of_it() -> None:
    stage = run(events(300)).models[0]
    names = {part.name for part in stage.snapshot()}
    assert not [name for name in names if name.startswith("deployed/")]
    accepted = Renewed(2, 0, 0, 7, 5, "m", None)
    assert b"references" not in encode_journal(accepted)
    assert decode_journal(encode_journal(accepted)) == accepted
    assert decode_journal(encode_journal(renewed())) == renewed()


# -- announcements


def test_an_announcement_goes_through_the_control_topic_as_it_is() -> None:
    built = terms(Deployment(tuple(SEALED)).references, "m", RULES)
    for at_ms in (0, START_MS):
        renewal = Renewal(at_ms, "m", "1", tuple(SEALED), built)
        assert decode(renewal.encode()) == renewal
        assert renewal.misfits(RULES) == []
    assert {one.id for one in map(opened, SEALED)} == {one.id for one in TRAINED}


def _record(**changed: Any) -> bytes:
    plain = json.loads(Renewal(0, "m", "1", tuple(SEALED), {}).encode())
    return json.dumps(plain | changed).encode()


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"model_version": "2"}, "a reference of m v1, not of m v2"),
        ({"model_version": None}, "names none"),
        ({"references": ["bm90IHppcHBlZA=="]}, "cannot be read"),
        ({"references": ["***"]}, "Invalid base64"),
    ],
)
def test_what_is_no_reference_of_the_version_is_refused(
    changed: dict[str, Any], reason: str
) -> None:
    with pytest.raises(ControlError, match=reason.replace("*", r"\*")):
        decode(_record(**changed))


def test_sealed_bytes_that_are_cut_changed_or_of_something_else_are_refused() -> None:
    inside = zlib.decompress(SEALED[0])
    plain_one = sealed(replace(TRAINED[0], source=""))
    for broken in (SEALED[0][:-5], zlib.compress(inside[:-1]), b"", zlib.compress(b"R"), plain_one):
        with pytest.raises(BrokenRecordError):
            opened(broken)
    twice = Deployment((SEALED[0], SEALED[0]))
    with pytest.raises(BrokenRecordError, match="same kind"):
        twice.must_be_of("m", "1")


@pytest.mark.parametrize("count", [-1, -(2**63) + 40, 2**62])
def test_counts_that_its_rows_do_not_allow_are_refused(count: int) -> None:
    plain = unpack(b"R", VERSION, zlib.decompress(SEALED[0]))
    feature = next(iter(plain["table"]["features"].values()))
    feature[0][0] = np.array([count])
    with pytest.raises(BrokenRecordError, match="other counts than its rows allow"):
        opened(zlib.compress(pack(b"R", VERSION, plain)))


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        (replace(RULES, season="day"), "season: built with none, and m has day here"),
        (replace(RULES, maturity=6_000), "maturity_ms: built with 5000, and m has 6000 here"),
        (replace(RULES, maturity="auto"), r"once models\.m\.maturity"),
        (replace(RULES, max_categories=8), "categories"),
        (replace(RULES, models={"m": ModelRule(classes=("yes",))}), "classes"),
        (replace(RULES, models={"n": ModelRule()}), "no model 'm'"),
        (replace(RULES, minimum_values=10_000), "fewer than 10000"),
    ],
)
def test_what_cannot_be_compared_under_the_configuration_says_why(
    rules: Rules, reason: str
) -> None:
    built = terms(Deployment(tuple(SEALED)).references, "m", RULES)
    with pytest.raises(ValueError, match=reason):
        Pipeline(rules, 1).deploy([Renewal(0, "m", "1", tuple(SEALED), built)])
