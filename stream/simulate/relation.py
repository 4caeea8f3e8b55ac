"""How the truth depends on features, and what a model knows of it.

The truth of a request hangs on a response η = β₀ + Σ βᵢ·bᵢ(x): of a classification it is positive
where η + h·U + ε > 0, of a regression its value is exp(η + h·U + s·ε); U and ε are standard normal.
A model version of skill ρ knows η and a hint S of U with correlation ρ, so that its score
Φ((η + h·ρ·S) / √(1 + h²(1 − ρ²))) is calibrated exactly, whatever its skill. Drift, faults of the
pipeline and errors of a version act on the inputs or on β, and what follows for errors and
calibration follows by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from stream.simulate.features import Column


@dataclass(frozen=True, slots=True)
class Term:
    """One bᵢ(x) of about zero mean, and its weight βᵢ."""

    feature: str  # by which it is known; the strongest of those it reads
    weight: float
    of: Callable[[Mapping[str, Column]], Column]


def number(name: str, weight: float, *, centre: float, spread: float, log: bool = False) -> Term:
    """A term that is a number's distance from its centre in spreads."""

    def of(inputs: Mapping[str, Column]) -> Column:
        values = inputs[name]
        if log:
            values = np.log(np.maximum(values, 0.0) + 1.0)
        # Models clip what they have never seen: a hundredfold amount is not a hundredfold score.
        return np.clip((values - centre) / spread, -4.0, 4.0)

    return Term(name, weight, of)


def levels(name: str, weight: float, *effects: float) -> Term:
    """A term that is an effect for each level of a category or flag."""
    known = np.array(effects)

    def of(inputs: Mapping[str, Column]) -> Column:
        codes = inputs[name]
        lost = np.isnan(codes)
        return np.where(lost, np.nan, known[np.where(lost, 0, codes).astype(np.int64)])

    return Term(name, weight, of)


@dataclass(frozen=True, slots=True)
class Relation:
    """β₀, the terms, and the strengths h and s of what the features do not say."""

    intercept: float
    terms: tuple[Term, ...]
    hidden: float
    noise: float = 1.0

    def response(
        self, inputs: Mapping[str, Column], factors: Mapping[str, Column | float]
    ) -> Column:
        """η of each request; factors multiply the weights of a feature's terms.

        What an input does not say counts as the average: a term of NaN is 0.
        """
        size = len(next(iter(inputs.values())))
        total = np.full(size, self.intercept)
        for term in self.terms:
            total += np.nan_to_num(term.of(inputs)) * term.weight * factors.get(term.feature, 1.0)
        return total

    def strongest(self, count: int) -> tuple[str, ...]:
        """The features of the largest weights."""
        ranked = sorted(self.terms, key=lambda term: -abs(term.weight))
        return tuple(dict.fromkeys(term.feature for term in ranked))[:count]

    def believed(self, response: Column, hint: Column, skill: float) -> Column:
        """η given the hint, on the scale on which Φ of it is the probability."""
        rest = 1 + self.hidden**2 * (1 - skill**2)
        believed: Column = (response + self.hidden * skill * hint) / np.sqrt(rest)
        return believed


def normal_cdf(z: Column) -> Column:
    """Φ, by formula 7.1.26 of Abramowitz and Stegun: at most 1.5e-7 off."""
    x = np.abs(z) / np.sqrt(2.0)
    t = 1.0 / (1.0 + 0.3275911 * x)
    powers = t * (
        0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429)))
    )
    upper = 0.5 * powers * np.exp(-x * x)
    found: Column = np.where(z > 0, 1.0 - upper, upper)
    return found
