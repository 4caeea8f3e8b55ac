"""A kind of model: its features, the truth it predicts, its labels and its latency."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from stream.simulate.draws import Draws
from stream.simulate.features import Column, Feature
from stream.simulate.population import Codes, Population
from stream.simulate.relation import Relation

Drawing = Callable[[Draws, Population, Codes, Column], dict[str, Column]]
"""(draws of the block, customers, customer of each request, season of each request) to features."""


@dataclass(frozen=True, slots=True)
class Model:
    """What is true of every version of it."""

    name: str
    what: str
    task: Literal["classification", "regression"]
    feature_set: str  # name@version
    features: tuple[Feature, ...]
    draw: Drawing
    relation: Relation
    label_median_ms: int
    label_sigma: float
    label_never: float  # share of the outcomes that never come
    positive_sooner: float = 1.0  # what the delay of positive outcomes is divided by
    threshold: float = 0.5
    latency_ms: float = 12.0
    latency_sigma: float = 0.35

    def feature(self, name: str) -> Feature | None:
        return next((feature for feature in self.features if feature.name == name), None)
