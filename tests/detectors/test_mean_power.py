"""ADWIN and Page-Hinkley: what is promised of them is what they do, where values depend too."""

import numpy as np
import pytest

from detectors.adwin import Adwin
from detectors.calibrated import adwin_delta, page_hinkley_threshold
from detectors.mean_power import adwin_changes, page_hinkley_changes, promised
from detectors.page_hinkley import PageHinkley

RATE, BEFORE, WITHIN, RUNS = 1e-7, 10_000, 20_000, 12
RANGE = 6.0  # σ


def drawn(count: int, phi: float, seed: int) -> np.ndarray:  # type: ignore[type-arg]
    random = np.random.default_rng(seed).standard_normal(count)
    for i in range(1, count if phi else 0):
        random[i] = phi * random[i - 1] + (1.0 - phi * phi) ** 0.5 * random[i]
    return random


def first(detector: Adwin | PageHinkley, values: np.ndarray) -> int | None:  # type: ignore[type-arg]
    ones = np.ones(len(values), np.int64)
    found = detector.update_many(values, ones, np.zeros(len(values)))
    return found[0].index - BEFORE if found else None


@pytest.mark.parametrize("phi", [0.0, 0.8])
@pytest.mark.parametrize("times", [1.0, 2.5])
@pytest.mark.parametrize("name", ["adwin", "page_hinkley"])
def test_a_change_is_told_when_it_is_promised_and_none_before(
    name: str, times: float, phi: float
) -> None:
    tau = (1.0 + phi) / (1.0 - phi)
    delta, threshold = adwin_delta(RATE * tau), page_hinkley_threshold(RATE * tau, tau)

    def made() -> Adwin | PageHinkley:
        if name == "adwin":
            return Adwin(delta=delta, scale=RANGE, tau=tau)
        return PageHinkley(delta=0.01, threshold=threshold)

    if name == "adwin":
        values, change = adwin_changes(
            BEFORE, 1.0 / RANGE, delta=delta, clock=32, tau=tau, within=WITHIN
        )
        change = change * RANGE
    else:
        values, change = page_hinkley_changes(
            BEFORE, 1.0, delta=0.01, threshold=threshold, alpha=0.9999, tau=tau, within=WITHIN
        )
    found = promised(values, change, 0.1)
    assert found is not None
    size = found[0] * times
    within = float(values[change <= size][0])
    late = 0
    for seed in range(RUNS):
        x = drawn(BEFORE + WITHIN, phi, seed)
        x[BEFORE:] += size
        after = first(made(), x)
        assert after is None or after >= 0
        late += after is None or after > within
    assert late <= 2


def test_dependence_is_heard_by_a_detector_that_does_not_know_of_it_only() -> None:
    phi, tau = 0.9, 19.0
    x = np.concatenate([drawn(20_000, phi, seed) for seed in range(3)])
    knows = Adwin(delta=adwin_delta(RATE * tau), scale=8.0, tau=tau)
    assert first(knows, x) is None
    assert first(Adwin(delta=adwin_delta(RATE), scale=8.0), x) is not None
    knows_too = PageHinkley(delta=0.01, threshold=page_hinkley_threshold(RATE * tau, tau))
    assert first(knows_too, x) is None
    assert first(PageHinkley(delta=0.01, threshold=page_hinkley_threshold(RATE, 1.0)), x)


def test_nothing_is_promised_where_nothing_can_be_found() -> None:
    values, change = adwin_changes(40, 0.1, delta=0.001, clock=32, tau=50.0, within=2_000)
    assert promised(values, change, 0.1) is None


def test_tau_of_a_detector_may_be_set_and_survives() -> None:
    detector = Adwin(tau=2.0)
    detector.tau = 3.0
    assert Adwin.restore(detector.snapshot()).tau == 3.0
    without = {k: v for k, v in detector.snapshot().items() if k != "tau"}
    assert Adwin.restore(without).tau == 1.0
    with pytest.raises(ValueError, match="tau"):
        detector.tau = 0.5
