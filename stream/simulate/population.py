"""The customers behind the requests: the same for every model, so that models share an upstream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stream.simulate.draws import Draws
from stream.simulate.features import Column

CUSTOMERS = 20_000
SEGMENTS = {
    "region": (("EU", 0.5), ("US", 0.3), ("APAC", 0.2)),
    "unit": (("retail", 0.6), ("business", 0.3), ("partner", 0.1)),
    "producer": (("scorer-1", 0.4), ("scorer-2", 0.4), ("scorer-3", 0.2)),
}
"""Dimension to its values and their shares. Region and unit belong to the customer."""

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Population:
    """One entry a customer."""

    score: Column  # 0 to 1, higher is better: the feature `customer_score` of every model
    age_days: Column  # of the account
    region: Codes
    unit: Codes

    @classmethod
    def drawn(cls, draws: Draws) -> Population:
        return cls(
            score=np.round(draws("customer score").beta(5.0, 2.5, CUSTOMERS), 3),
            age_days=np.floor(draws("customer age").gamma(1.6, 500.0, CUSTOMERS)),
            region=codes(draws("customer region").random(CUSTOMERS), "region"),
            unit=codes(draws("customer unit").random(CUSTOMERS), "unit"),
        )


def codes(uniform: Column, dimension: str) -> Codes:
    """Uniform numbers as indices into the values of a dimension."""
    edges = np.cumsum([share for _, share in SEGMENTS[dimension]])[:-1]
    return np.searchsorted(edges, uniform, side="right").astype(np.int64)


def segment_code(text: str) -> tuple[str, int]:
    """`region=EU` as its dimension and the code of its value. Raises ValueError, naming what is."""
    dimension, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text!r} is no segment: write region=EU")
    if dimension not in SEGMENTS:
        raise ValueError(f"no segment {dimension!r}: there is {', '.join(SEGMENTS)}")
    values = [name for name, _ in SEGMENTS[dimension]]
    if value not in values:
        raise ValueError(f"no {dimension} {value!r}: there is {', '.join(values)}")
    return dimension, values.index(value)
