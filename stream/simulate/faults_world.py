"""Faults of nobody: the world changes, and with it the inputs, or what follows from them."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stream.events import Action, Kind
from stream.simulate.fault import Expected, Fault, Target
from stream.simulate.features import Column
from stream.simulate.requests import Requests


class Covariate(Fault):
    kind = "covariate"
    what = "a feature's distribution moves, for good or with ramp=5d gradually; the relation stays"
    target: ClassVar[Target] = "feature"
    unit = "standard deviations of a number (of its logarithm where it is log), else a share"
    default = 0.5
    bounds = (-10.0, 10.0)
    options = ("ramp",)
    follows: ClassVar[tuple[Kind, ...]] = ("prediction_drift", "performance", "calibration")

    @property
    def level(self) -> int:
        """Where a category or flag moves to: a level in the middle, or true."""
        return 1 if self.feature.kind == "flag" else len(self.feature.levels) // 2

    def facts(self) -> dict[str, Any]:
        feature = self.feature
        if not feature.is_number:
            return {"to": feature.levels[self.level] if feature.levels else True}
        by = self.intensity * feature.spread
        return {"factor": float(np.exp(by))} if feature.log else {"difference": by}

    def expected(self) -> tuple[Expected, ...]:
        actions: tuple[Action, ...] = ("investigate", "retrain")
        return (Expected(("feature_drift",), actions, self.feature.name, self.segment),)

    def world(self, requests: Requests) -> None:
        name, values = self.feature.name, requests.features[self.feature.name]
        if self.feature.is_number:
            mask = self.active(requests)
            spreads = self.intensity * self.strength(requests.times_ms)
            moved = self.feature.moved(values, spreads)
        else:
            mask = self.chosen(requests)
            moved = np.full(len(requests), float(self.level))
        requests.features[name] = np.where(mask, moved, values)
        self.touch(mask)

    def _check(self) -> None:
        super()._check()
        if not self.feature.is_number and not 0 <= self.intensity <= 1:
            raise ValueError(f"covariate: of a {self.feature.kind}, the intensity is a share")


class Concept(Fault):
    kind = "concept"
    what = "the truth depends on a feature (else on the two strongest) otherwise; inputs stay"
    target: ClassVar[Target] = "feature"
    is_target_free = True
    unit = "a share: at 50 % the feature says nothing any more, at 100 % the opposite"
    default = 1.0
    options = ("ramp",)
    follows: ClassVar[tuple[Kind, ...]] = ("performance", "calibration")

    @property
    def reversed(self) -> tuple[str, ...]:
        return (self.text.target,) if self.text.target else self.model.relation.strongest(2)

    def facts(self) -> dict[str, Any]:
        return {"relation_of": list(self.reversed)}

    def expected(self) -> tuple[Expected, ...]:
        return (Expected(("concept_drift", "performance"), ("retrain",), None, self.segment),)

    def relation(self, requests: Requests, factors: dict[str, Column | float]) -> None:
        mask = self.active(requests)
        kept = 1.0 - 2.0 * self.intensity * self.strength(requests.times_ms) * mask
        for name in self.reversed:
            factors[name] = factors.get(name, 1.0) * kept
        self.touch(mask)

    def _check(self) -> None:
        super()._check()
        known = {term.feature for term in self.model.relation.terms}
        if self.text.target and self.text.target not in known:
            raise ValueError(
                f"concept: the truth of {self.model.name} does not depend on {self.text.target} "
                f"(it does on {', '.join(sorted(known))})"
            )


KINDS: tuple[type[Fault], ...] = (Covariate, Concept)
