"""What ADWIN and Page-Hinkley would find of a mean, in its own unit: for people who choose."""

from __future__ import annotations

from dataclasses import dataclass

from detectors.adwin import Adwin
from detectors.mean_power import Floats, adwin_changes, page_hinkley_changes, promised
from detectors.page_hinkley import PageHinkley
from stream.power import WITHIN, Power

NAMES = {"adwin": "ADWIN", "page_hinkley": "Page-Hinkley"}


@dataclass(frozen=True, slots=True)
class Mean:
    """As a detector knows it."""

    values: int  # of before
    sd: float
    tau: float
    floor: float
    is_calibrated: bool  # the threshold is the budget's, which counts tau, not the owner's own


def power_of(detector: Adwin | PageHinkley, mean: Mean) -> Power:
    found = promised(*_changes(detector, mean, mean.tau), mean.floor / detector.scale)
    if found is None:
        return Power(None, None, 1.0)
    smallest, values = found
    alone = promised(*_changes(detector, mean, 1.0), mean.floor / detector.scale)
    loss = 1.0 if alone is None else max(smallest / alone[0], 1.0)
    return Power(smallest * detector.scale, values, loss)


def _changes(detector: Adwin | PageHinkley, mean: Mean, tau: float) -> tuple[Floats, Floats]:
    """`tau`: as its values depend, or as if they did not."""
    before, sd = float(mean.values), mean.sd / detector.scale
    if isinstance(detector, Adwin):
        own = min(tau, detector.tau)
        return adwin_changes(
            before, sd, delta=detector.delta, clock=detector.clock, tau=own, within=WITHIN
        )
    threshold = detector.threshold * (tau / mean.tau if mean.is_calibrated else 1.0)
    return page_hinkley_changes(
        before, sd, delta=detector.delta, threshold=threshold, alpha=detector.alpha, tau=tau,
        within=WITHIN,
    )  # fmt: skip
