"""Units, what they are compared with and their part of the budget, as constants of a bank."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detectors.bernoulli_tilts import bernoulli_tilts
from detectors.rank_scores import SCORE_UNIT, RankScores
from detectors.score_tilts import score_tilts
from detectors.tilts import Tilts
from stream.bounded_mean import STEPS, steps_of
from stream.estimated_error import estimates
from stream.panes import Ints
from stream.profile import Profile
from stream.rate_events import rate_of
from stream.reference import Reference
from stream.rules import FloorRule, RateRule
from stream.units import Unit, is_fault

_HIGHEST_RATE = 0.01  # of false alarms per value that thresholds are made for
_LEAST_SPREAD = 0.05  # of scores: values that have become constant still have some error


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a unit is compared with: sums over `n` values; of scores also of their squares."""

    x: Ints  # (columns,)
    n: Ints  # (columns,); the same in all of them, unless the unit is split
    xx: int = 0

    @property
    def mean(self) -> float:
        """Of scores, in z."""
        return float(self.x[0]) / float(self.n[0]) / SCORE_UNIT

    @property
    def spread(self) -> float:
        """Of scores, in z."""
        variance = self.xx / float(self.n[0]) / SCORE_UNIT**2 - self.mean**2
        return float(np.sqrt(max(variance, _LEAST_SPREAD**2)))


def baseline_of(unit: Unit, profile: Profile, *, numeric: bool) -> Baseline:
    """As the profile's reference has it."""
    reference = profile.reference
    if is_fault(unit.measure):
        return _rate(*rate_of(reference, unit.name, unit.measure, numeric=numeric))
    if unit.measure == "calibration":
        reliability = profile.reliability()
        assert reliability is not None
        return Baseline(reliability.true, reliability.count)
    if unit.measure == "estimate":
        x, n, _ = estimates(reference.table, unit.name, unit.scale)
        return Baseline(x[0], n[0])
    if unit.measure in {"rate", "mean"}:
        return _of_values(unit, reference)
    of = profile.number(unit.name) if numeric else profile.text(unit.name)
    assert of is not None
    if unit.measure == "shape":
        bins = of.bins
        return Baseline(bins, _counts(len(bins), int(bins.sum())))
    season = profile.season(unit.name)
    if season is not None:
        return Baseline(np.array([season.x]), np.array([of.count]), season.xx)
    return _rate(0, of.count, of.count * SCORE_UNIT**2)


def _of_values(unit: Unit, reference: Reference) -> Baseline:
    frozen = reference.feature(unit.name)
    assert frozen is not None
    if unit.measure == "rate":
        ones = frozen.buckets.count[frozen.buckets.key != 0].sum()
        return Baseline(np.array([ones]), frozen.number)
    return Baseline(steps_of(frozen, 1, unit.scale)[0], frozen.number)


def _rate(events: int, count: int, squares: int = 0) -> Baseline:
    # of one number `full` takes several times as long
    return Baseline(np.array([events], np.int64), np.array([count], np.int64), squares)


def _counts(columns: int, count: int) -> Ints:
    counts: Ints = np.full(columns, count, np.int64)
    return counts


def floor_of(
    unit: Unit, floors: FloorRule, rates: RateRule, sealed: Callable[[], Baseline]
) -> float:
    """The smallest difference worth telling, in the unit's own terms; most follow from the rules
    alone."""
    if unit.measure == "shape":
        return floors.shape_of(unit.name)
    own = floors.mean_of(unit.name)
    if unit.measure == "shift":
        return own or floors.shift
    if unit.measure == "unlabelled":
        return own or floors.unlabelled
    if unit.measure == "calibration":
        return own or floors.calibration
    if is_fault(unit.measure):
        rise = floors.fault_of(unit.name)
        if rise is not None:
            return rise
    baseline = sealed()
    share = float(baseline.x[0]) / float(baseline.n[0])
    if is_fault(unit.measure):
        tripled = (rates.ratio - 1.0) * share
        return min(rates.min_rise, tripled) if tripled > 0.0 else rates.min_rise
    if unit.measure == "rate":
        return (own or floors.error) * share
    return (own or floors.error) * share / unit.steps


@dataclass(frozen=True, slots=True)
class Terms:
    """On which a unit is watched."""

    unit: Unit
    baseline: Baseline
    floor: float
    rate: float  # false alarms per value
    ranks: RankScores | None  # of a shift: what gave its ranks, whose form the scores keep
    tau: tuple[float, ...] = (1.0,)  # of each column: see `batches`

    @property
    def family(self) -> str:
        if self.unit.measure == "shift":
            return "normal" if self.ranks is None else "ranks"
        return "rates"

    @property
    def is_mean(self) -> bool:
        return self.unit.is_mean


def widened(terms: Terms, spread: float) -> Terms:
    """The same of values that spread more than in the reference: of scores, so much in z."""
    baseline = terms.baseline
    if terms.unit.measure != "shift" or spread <= baseline.spread:
        return terms
    square = (spread * spread + baseline.mean**2) * float(baseline.n[0])
    return replace(terms, baseline=replace(baseline, xx=round(square * SCORE_UNIT**2)))


def tilts_of(terms: Sequence[Terms]) -> Tilts:
    """All columns of all units, in order."""
    starts = np.cumsum([0, *(t.unit.columns for t in terms)]).tolist()
    parts: list[Tilts] = []
    places: list[int] = []
    for family in sorted({t.family for t in terms}):
        of = [i for i, t in enumerate(terms) if t.family == family]
        for i in of:
            places += range(starts[i], starts[i + 1])
        parts.append(_family_tilts(family, [terms[i] for i in of]))
    return Tilts.concat(parts).take(np.argsort(np.array(places), kind="stable"))


def _family_tilts(family: str, terms: Sequence[Terms]) -> Tilts:
    columns = [t.unit.columns for t in terms]

    def each(values: Iterable[float]) -> NDArray[np.float64]:
        return np.repeat(np.array(list(values), np.float64), columns)

    count = np.maximum(np.concatenate([t.baseline.n for t in terms]), 1).astype(np.float64)
    # the columns of a split unit have their values among them: those have the unit's rate together
    of_unit = [1 if t.unit.is_split else t.unit.columns for t in terms]
    rate = each(min(t.rate / n, _HIGHEST_RATE) for t, n in zip(terms, of_unit, strict=True))
    taus: list[float] = []
    for t in terms:
        taus += t.tau if len(t.tau) == t.unit.columns else t.tau * t.unit.columns
    tau = np.array(taus)
    if family == "rates":
        return _rates(terms, count, rate, tau, each)
    floor = each(t.floor for t in terms)
    mean, sd = each(t.baseline.mean for t in terms), each(t.baseline.spread for t in terms)
    scores = [t.ranks for t in terms if t.ranks] if family == "ranks" else None
    return score_tilts(count, rate=rate, tau=tau, floor=floor, mean=mean, sd=sd, scores=scores)


def _rates(
    terms: Sequence[Terms],
    count: NDArray[np.float64],
    rate: NDArray[np.float64],
    tau: NDArray[np.float64],
    each: Callable[[Iterable[float]], NDArray[np.float64]],
) -> Tilts:
    """Of faults, of shares, and of means of values in [0, 1]: of these the exponential of an
    account is at most that of events of their mean."""
    steps = each(STEPS if t.is_mean else 1 for t in terms)
    events = np.concatenate([t.baseline.x for t in terms]) / steps
    floors: list[float] = []
    for t in terms:
        # the errors beside an estimate are only compared: they have no tilts
        own = [t.floor, 1.0] if t.is_mean else [t.floor] * t.unit.columns
        floors += own[: t.unit.columns]
    up_only = each(t.unit.up_only for t in terms)
    made = bernoulli_tilts(
        events, count, rate=rate, tau=tau, floor=np.array(floors), up_only=up_only
    )
    if all(not t.is_mean for t in terms):
        return made
    return replace(made, gain=np.rint(made.gain / steps[:, None]).astype(np.int64))
