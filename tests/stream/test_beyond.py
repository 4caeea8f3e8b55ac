"""Values beyond the reference are a drift where all have moved there, else a fault."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.beyond import is_drift
from tests.stream.test_causes import amount, told

Value = Callable[[Random, bool], float]

DRIFTS: dict[str, Value] = {
    "a score that rises": lambda r, changed: round(r.betavariate(5, 2.5) + 0.09 * changed, 3),
    "a share that falls": lambda r, changed: round(r.random() - 0.15 * changed, 3),
    "a number that scatters more": lambda r, changed: round(
        r.uniform(-1, 1) * (1 + 0.5 * changed), 3
    ),
}
FAULTS: dict[str, Value] = {
    "a sentinel far away": lambda r, changed: (
        -999.0 if changed and r.random() < 0.1 else round(r.gauss(0, 1), 3)
    ),
    "a sentinel near by": lambda r, changed: (
        -1.0 if changed and r.random() < 0.1 else float(r.randrange(50))
    ),
    "a unit in a part of the rows": lambda r, changed: round(
        amount(r) * (100 if changed and r.random() < 0.1 else 1), 2
    ),
    "some values far from the others, which stay": lambda r, changed: (
        round(r.uniform(2, 4), 3) if changed and r.random() < 0.1 else round(r.random(), 3)
    ),
    "all of them in another unit": lambda r, changed: (
        round(r.gauss(12, 5) * (1.8 if changed else 1) + (32 if changed else 0), 1)
    ),
}  # fmt: skip


def beyond(value: Value, **given: int) -> list[Any]:
    alerts = told(lambda r, changed: {"x": value(r, changed)}, **given)
    return [a for a in alerts if a.alertname == "OutOfRange" and a.status == "firing"]


@pytest.mark.parametrize("what", DRIFTS)
def test_where_a_drift_has_come_to_nobody_is_asked_to_fix_a_pipeline(what: str) -> None:
    alerts = told(lambda r, changed: {"x": DRIFTS[what](r, changed)})
    assert {a.recommended_action for a in alerts if a.status == "firing"} == {"investigate"}
    found = [a for a in alerts if a.alertname == "OutOfRange"]
    assert found
    for alert in found:
        assert alert.kind == "feature_drift" or "folded_under" in alert.evidence
    assert len({a.incident_id for a in alerts}) == 1


@pytest.mark.parametrize("what", FAULTS)
def test_what_leaves_the_others_where_they_were_or_goes_far_is_a_fault(what: str) -> None:
    found = beyond(FAULTS[what])
    assert found
    assert {(a.kind, a.recommended_action) for a in found} == {("data_quality", "fix_pipeline")}
    assert not [a for a in found if "beyond" in a.evidence]


def values_of(share: float, shift: float, count: int, seed: int) -> tuple[Any, ...]:
    """Of a normal feature with so many values just beyond, where all others have shifted by so
    much; beside it a sample of the reference, and its ends."""
    rng = np.random.default_rng(seed)
    values = np.clip(rng.standard_normal(count) + shift, -3.5, 3.5)
    values[: round(share * count)] = rng.uniform(3.51, 4.3, round(share * count))
    return np.sort(np.clip(rng.standard_normal(256), -3.5, 3.5)), (-3.5, 3.5), values


@given(st.integers(0, 500), st.sampled_from([0.02, 0.1, 0.3]))
def test_enough_rows_tell_whether_the_others_have_moved(seed: int, share: float) -> None:
    assert is_drift(*values_of(share, 1.0, 400, seed))
    assert not is_drift(*values_of(share, -0.3, 400, seed))
    assert is_drift(*values_of(share, -0.3, 400, seed), tau=1e9), "nobody knows"


@given(st.lists(st.floats(-1e9, 1e9), max_size=40), st.lists(st.floats(-9, 9), max_size=40))
def test_what_lies_within_is_nothing_and_neither_is_what_has_no_sample(
    values: list[float], usual: list[float]
) -> None:
    now, sample = np.array(values, float), np.sort(np.array(usual, float))
    assert not is_drift(sample, (-1e9, 1e9), now)
    assert not is_drift(sample[:19], (-1.0, 1.0), now)
    assert is_drift(sample, (-1.0, 1.0), now) in {True, False}


def test_it_says_where_the_values_lie_and_how_far_the_reference_went() -> None:
    first = beyond(DRIFTS["a score that rises"])[0]
    shown = first.evidence["beyond"]
    low, high = shown["reference"]
    assert 0.0 < low < high < 1.0 < shown["current"][1]
    assert 0 < 2 * shown["count"] <= shown["sampled"]
    assert f"they lie near its range, {low} to {high}" in first.summary


def test_it_does_not_depend_on_batches() -> None:
    value = DRIFTS["a score that rises"]
    assert beyond(value) == beyond(value, batch=77)
