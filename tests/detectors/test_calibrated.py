"""ADWIN and Page-Hinkley set by a budget keep it."""

import numpy as np
import pytest

from detectors.adwin import Adwin
from detectors.calibrated import adwin_delta, page_hinkley_threshold
from detectors.page_hinkley import PageHinkley

VALUES = 300_000
ONES, ZEROS = np.ones(VALUES, dtype=np.int64), np.zeros(VALUES)


@pytest.mark.parametrize("p", [0.5, 0.05])
def test_adwin_keeps_a_budget(p: float) -> None:
    values = (np.random.default_rng(1).random(VALUES) < p).astype(float)
    changes = Adwin(delta=adwin_delta(5e-5)).update_many(values, ONES, ZEROS)
    assert len(changes) <= 25  # 15 at most are expected


def test_page_hinkley_keeps_a_budget() -> None:
    values = 0.2 * np.random.default_rng(2).standard_normal(VALUES)
    threshold = page_hinkley_threshold(5e-5, 0.2)
    found = PageHinkley(delta=0.005, threshold=threshold).update_many(values, ONES, ZEROS)
    assert 1 <= len(found) <= 25


def test_a_smaller_budget_is_a_stricter_setting() -> None:
    rates = np.geomspace(1e-9, 1e-2, 60)
    deltas = [adwin_delta(rate) for rate in rates]
    thresholds = [page_hinkley_threshold(rate, 1.0) for rate in rates]
    assert (np.diff(deltas) >= 0).all()
    assert (np.diff(thresholds) <= 0).all()
    assert deltas[0] > 0
    assert deltas[-1] < 1
    assert np.max(np.abs(np.diff(np.log(deltas)))) < 0.3  # without jumps
    assert np.max(np.abs(np.diff(np.log(thresholds)))) < 0.3


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(ValueError, match="rate"):
        adwin_delta(0.0)
    with pytest.raises(ValueError, match="sd"):
        page_hinkley_threshold(1e-6, 0.0)
