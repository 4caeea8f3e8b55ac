"""An upstream that drifts too little for each model that reads it is told of all together."""

from __future__ import annotations

from functools import cache

import numpy as np
import orjson
import yaml

from stream.alert_lines import epoch_ms
from stream.alert_stage import AlertStage
from stream.events import Alert, Records
from stream.model_stage import ModelStage
from stream.partitioning import partition_of
from stream.pipeline import Pipeline, imbalance
from stream.rules import HOUR_MS, Rules
from stream.settings import Settings
from stream.snapshot import packed
from tests.streams import TOPIC, feed

MODELS = ("churn", "fraud", "limits", "pricing", "upsell")
START_MS = 1_760_000_400_000  # a full hour
ONSET_H, HOURS = 232, 252
ONSET_MS = START_MS + ONSET_H * 3_600_000
SMALL = 0.16  # σ
CONFIG = """
shared_features: {customer_score: [pricing, churn, fraud, limits, upsell]}
reference: {predictions: 3000, span: 1d}
outcomes: {maturity: none}
"""
UNDECLARED = "\n".join(line for line in CONFIG.splitlines() if "shared" not in line)


def settings(config: str) -> Settings:
    models = {
        model: {
            "owners": {"accountable": f"{model}-lead", "responsible": [f"{model}-team"]},
            "runbook_url": f"https://example.com/{model}",
        }
        for model in MODELS
    }
    return Settings.model_validate(yaml.safe_load(config) | {"models": models})


@cache
def alerts(
    shift: float,
    of: tuple[str, ...] = MODELS,
    *,
    config: str = CONFIG,
    partitions: int = 2,
    release_every: int = 700,
    restored_every: int = 0,
) -> list[Alert]:
    """Each model scores customers of its own, other ones than the others do, one a minute; from
    an hour on the score of those `of` it is shifted by so many standard deviations. Stages are put
    away and taken up again each so many hours."""
    rules = settings(config).rules()
    pipeline = Pipeline(rules, partitions, release_every=release_every)
    rng = np.random.default_rng(3)
    count = 60 * HOURS
    score = rng.standard_normal((count, len(MODELS)))
    score[60 * ONSET_H :, [model in of for model in MODELS]] += shift
    score = score * (1 + np.arange(len(MODELS))) + 10 * np.arange(len(MODELS))
    amount = rng.standard_normal((count, len(MODELS)))
    offsets = dict.fromkeys(range(partitions), 0)
    for first in range(0, count, 60):
        dealt: dict[int, list[tuple[int, bytes]]] = {}
        for i in range(first, first + 60):
            for m, model in enumerate(MODELS):
                at_ms, key = START_MS + i * 60_000 + m * 1_000, f"{model}-{i}"
                event = {
                    "prediction_id": key, "model_id": model, "model_version": "1",
                    "predicted_at": at_ms, "prediction": {"label": "yes"},
                    "features": {"customer_score": score[i, m], "amount": amount[i, m]},
                }  # fmt: skip
                value = orjson.dumps(event, option=orjson.OPT_SERIALIZE_NUMPY)
                place = partition_of(key.encode(), partitions)
                dealt.setdefault(place, []).append((at_ms, value))
        for partition, mine in sorted(dealt.items()):
            places = [offsets[partition] + n for n in range(len(mine))]
            offsets[partition] += len(mine)
            times, values = [at_ms for at_ms, _ in mine], [value for _, value in mine]
            records = Records(TOPIC["predictions"], partition, places, times, values)
            feed(pipeline, "predictions", records)
        if restored_every and first // 60 % restored_every == restored_every - 1:
            take_over(pipeline, rules, partitions)
    pipeline.end_of_input(None)
    assert imbalance(pipeline.ledger()["total"]) == []
    return [told.alert for told in pipeline.sorted_alerts()]


def take_over(pipeline: Pipeline, rules: Rules, partitions: int) -> None:
    for q, stage in enumerate(pipeline.models):
        state = packed(stage.snapshot())
        pipeline.models[q] = ModelStage.restore(rules, q, partitions, state)
    state = packed(pipeline.alert_stage.snapshot())
    pipeline.alert_stage = AlertStage.restore(rules, partitions, state)


def of_score(shift: float, **given: object) -> list[Alert]:
    found = alerts(shift, **given)  # type: ignore[arg-type]
    return [a for a in found if a.scope.feature == "customer_score" and a.sequence == 1]


def test_what_no_model_can_tell_alone_is_told_of_all_together() -> None:
    (alert,) = of_score(SMALL)
    assert (alert.alertname, alert.kind) == ("SharedFeatureDrift", "feature_drift")
    assert (alert.model.id, alert.model.version) == ("pricing", "*")
    assert alert.effect.low < SMALL < alert.effect.high
    assert alert.recommended_action == "investigate"
    assert ONSET_MS - HOUR_MS <= epoch_ms(alert.starts_at) < epoch_ms(alert.evaluated_at)
    assert epoch_ms(alert.evaluated_at) - ONSET_MS <= 18 * HOUR_MS
    assert set(alert.evidence["current"]["models"]) == set(MODELS)
    assert "in 5 models together (churn, fraud, limits and 2 more)" in alert.summary


def test_its_owner_is_that_of_the_first_model_and_the_others_are_informed() -> None:
    (alert,) = of_score(SMALL)
    assert alert.owners.accountable == "pricing-lead"
    assert alert.owners.responsible == ["pricing-team"]
    assert alert.owners.informed == [
        f"{model}-{who}" for model in MODELS if model != "pricing" for who in ("lead", "team")
    ]
    assert alert.links["runbook_url"] == "https://example.com/pricing"


def test_undeclared_it_is_unseen() -> None:
    assert of_score(SMALL, config=UNDECLARED) == []


def test_what_the_models_tell_too_is_one_incident() -> None:
    found = of_score(0.6)
    alone = [a for a in found if a.alertname != "SharedFeatureDrift"]
    assert {a.model.id for a in alone} == {*MODELS}
    assert len(found) > len(alone)
    assert len({a.incident_id for a in found}) == 1


def test_a_drift_of_one_model_is_not_of_the_upstream() -> None:
    found = of_score(1.0, of=("fraud",))
    assert {a.model.id for a in found} == {"fraud"}
    assert "SharedFeatureDrift" not in {a.alertname for a in found}


def test_nothing_is_told_where_nothing_moves() -> None:
    assert alerts(0.0) == []


def test_partitions_batches_and_takeovers_do_not_show() -> None:
    assert alerts(SMALL, partitions=3, release_every=97, restored_every=25) == alerts(SMALL)
    assert alerts(0.6, partitions=1, release_every=5_000, restored_every=7) == alerts(0.6)
