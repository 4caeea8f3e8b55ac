"""A hundred features at once are one incident with a ranked list, and one thing to do."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import orjson
import pytest

from stream.alert_lines import epoch_ms
from stream.events import Alert, Request
from stream.pipeline import Pipeline, imbalance
from stream.simulate.features import Column
from tests.scenarios.play import settings
from tests.streams import feed, records

FEATURES = 100
START_MS, EVERY_MS = 1_760_000_400_000, 2_000
ONSET, EVENTS = 3_600, 4_000
ONSET_MS = START_MS + ONSET * EVERY_MS
CONFIG = "{reference: {predictions: 3000, span: 1h}, outcomes: {maturity: none}}"


@cache
def storm(what: str, batch: int = 500) -> tuple[list[Alert], list[Request]]:
    """`nulls`: of feature i a share that rises with i; `drift`: all shift, by as much as i says."""
    rng = np.random.default_rng(11)
    values: Column = np.round(rng.standard_normal((EVENTS, FEATURES)), 4)
    sizes = np.arange(1, FEATURES + 1) / FEATURES
    if what == "nulls":
        is_null = rng.random((EVENTS, FEATURES)) < 0.2 + 0.7 * sizes
        values[ONSET:][is_null[ONSET:]] = np.nan
    else:
        values[ONSET:] += 0.8 + sizes
    pipeline = Pipeline(settings(CONFIG).rules(), 1, release_every=batch)
    names = [f"f{i:03d}" for i in range(FEATURES)]
    for first in range(0, EVENTS, batch):
        made = [event(i, names, values[i]) for i in range(first, min(first + batch, EVENTS))]
        feed(pipeline, "predictions", records(made, first_offset=first))
    pipeline.end_of_input(None)
    assert imbalance(pipeline.ledger()["total"]) == []
    alerts = [told.alert for told in pipeline.sorted_alerts()]
    return alerts, [asked.request for asked in pipeline.sorted_actions()]


def event(i: int, names: list[str], values: Column) -> bytes:
    cells = [None if np.isnan(value) else float(value) for value in values]
    return orjson.dumps(
        {
            "prediction_id": f"p{i}", "model_id": "fraud", "model_version": "7",
            "predicted_at": START_MS + i * EVERY_MS, "prediction": {"label": "ok"},
            "features": dict(zip(names, cells, strict=True)),
        }
    )  # fmt: skip


KINDS: dict[str, tuple[str, str]] = {
    "nulls": ("NullRate", "fix_pipeline"),
    "drift": ("FeatureDrift", "investigate"),
}


@pytest.mark.parametrize("what", KINDS)
def test_a_hundred_features_are_one_incident_with_one_thing_to_do(what: str) -> None:
    alertname, action = KINDS[what]
    alerts, _ = storm(what)
    assert all(epoch_ms(alert.evaluated_at) > ONSET_MS for alert in alerts)
    assert len({a.scope.feature for a in alerts if a.alertname == alertname}) == FEATURES
    assert len({a.incident_id for a in alerts}) == 1
    assert {a.recommended_action for a in alerts if a.status == "firing"} == {action}


@pytest.mark.parametrize("what", KINDS)
def test_its_first_alert_is_told_again_with_the_greatest_of_all(what: str) -> None:
    alerts, _ = storm(what)
    root = next(a for a in alerts if a.id == a.incident_id)
    told = [a for a in alerts if "incident" in a.evidence]
    assert {a.fingerprint for a in told} == {root.fingerprint}
    found: dict[str, Any] = told[-1].evidence["incident"]
    assert found["alerts"] >= FEATURES
    ranked = found["ranked"]
    assert len(ranked) == 20
    sizes = [one["size"] for one in ranked]
    assert sizes == sorted(sizes, reverse=True)
    assert np.mean([int(one["feature"][1:]) for one in ranked]) > 65


def test_the_pipeline_is_asked_for_once() -> None:
    alerts, requests = storm("nulls")
    (request,) = requests
    assert (request.type, request.incident_id) == ("fix_pipeline", alerts[0].incident_id)


def test_it_does_not_depend_on_batches() -> None:
    assert storm("nulls") == storm("nulls", batch=777)
