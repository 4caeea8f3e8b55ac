"""Faults of the pipeline that brings features to the model. The world is as it was."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from stream.events import Kind
from stream.simulate.fault import Expected, Fault, Target
from stream.simulate.features import Column, Feature, Mask, Served
from stream.simulate.requests import Requests

MOVED: tuple[Kind, ...] = (
    "feature_drift",
    "prediction_drift",
    "concept_drift",
    "performance",
    "calibration",
)


class PipelineFault(Fault):
    """One feature, a share of the requests."""

    target: ClassVar[Target] = "feature"
    unit: ClassVar[str] = "a share of the requests, 0 to 100 %"
    default: ClassVar[float | None] = 1.0
    options: ClassVar[tuple[str, ...]] = ("ramp",)
    follows: ClassVar[tuple[Kind, ...]] = MOVED
    kinds: ClassVar[tuple[Kind, ...]] = ("data_quality", "schema")

    def expected(self) -> tuple[Expected, ...]:
        return (Expected(self.kinds, ("fix_pipeline",), self.feature.name, self.segment),)

    def pipeline(self, requests: Requests) -> None:
        mask = self.chosen(requests)
        self.break_(requests, requests.served[self.feature.name], mask)
        self.touch(mask)

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:
        raise NotImplementedError


class Null(PipelineFault):
    kind = "null"
    what = "an upstream change makes a feature null"
    default = 0.3

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        served.values = np.where(mask, np.nan, served.values)


class Missing(PipelineFault):
    kind = "missing"
    what = "a feature is left out of the events"
    kinds = ("schema", "data_quality")

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        served.absent = served.absent | mask


class Rename(PipelineFault):
    kind = "rename"
    what = "a feature arrives under another name (to=NAME), which the model does not read"
    options = ("ramp", "to")
    kinds = ("schema", "data_quality")

    @property
    def new_name(self) -> str:
        return self.text.options.get("to", f"{self.feature.name}_v2")

    def facts(self) -> dict[str, Any]:
        return {"renamed_to": self.new_name}

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:
        renamed = requests.served.get(self.new_name)
        absent = ~mask if renamed is None else renamed.absent & ~mask
        requests.served[self.new_name] = Served(
            served.feature, served.values, self.new_name, served.levels, absent | served.absent
        )
        served.absent = served.absent | mask

    def _check(self) -> None:
        super()._check()
        if self.model.feature(self.new_name) is not None:
            raise ValueError(f"rename: {self.model.name} has a feature {self.new_name} already")


class Retype(PipelineFault):
    kind = "retype"
    what = "a number arrives as a text"
    target = "number"
    kinds = ("schema", "data_quality")

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        served.as_text = served.as_text | mask


class NewCategory(PipelineFault):
    kind = "new_category"
    what = "a value that was never seen before (to=VALUE)"
    target = "category"
    default = 0.2
    options = ("ramp", "to")
    kinds = ("schema", "data_quality")

    @property
    def value(self) -> str:
        return self.text.options.get("to", "NEW")

    def facts(self) -> dict[str, Any]:
        return {"category": self.value}

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        if self.value not in served.levels:
            served.levels = (*served.levels, self.value)
        served.values = np.where(mask, float(served.levels.index(self.value)), served.values)

    def _check(self) -> None:
        super()._check()
        if self.value in self.feature.levels:
            raise ValueError(f"new_category: {self.feature.name} has a value {self.value} already")


class Scaled(PipelineFault):
    """A number is multiplied by the intensity, and an offset added."""

    target = "number"
    unit = "a factor, such as x100"
    bounds = (-1e9, 1e9)
    options = ("offset",)

    @property
    def offset(self) -> float:
        return float(self.text.options.get("offset", "0"))

    def facts(self) -> dict[str, Any]:
        return {"factor": self.intensity, "offset": self.offset}

    def chosen(self, requests: Requests, share: float | None = None) -> Mask:
        return super().chosen(requests, 1.0 if share is None else share)

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        served.values = np.where(mask, self._scaled(served.values), served.values)

    def _scaled(self, values: Column) -> Column:
        # Nine digits, as a producer would send: 1.1 × 100 is 110, not 110.00000000000001.
        return np.round(values * self.intensity + self.offset, max(self.feature.decimals, 4))

    def _check(self) -> None:
        super()._check()
        try:
            float(self.text.options.get("offset", "0"))
        except ValueError:
            raise ValueError(f"{self.kind}: offset must be a number") from None


class Unit(Scaled):
    kind = "unit"
    what = "a number comes in another unit: x100, or °C as °F with x1.8,offset=32"
    default = 100.0
    kinds = ("schema", "data_quality")


class Skew(Scaled):
    kind = "skew"
    what = "the serving code computes a number otherwise than the training code (x0.8)"
    default = 0.8
    kinds = ("data_quality", "feature_drift")


class FeatureSet(Scaled):
    kind = "feature_set"
    what = "the feature set gets a new version without notice, and a number is computed anew"
    default = 1.25
    kinds = ("feature_drift", "schema", "version")

    def facts(self) -> dict[str, Any]:
        name, _, version = self.model.feature_set.partition("@")
        return {**super().facts(), "feature_set": f"{name}@{int(version) + 1}"}

    def pipeline(self, requests: Requests) -> None:
        super().pipeline(requests)
        requests.revision = requests.revision + self.active(requests)


class Stale(PipelineFault):
    kind = "stale"
    what = "a feature stays what it was: a cache that nobody refreshes"
    _stuck: float | None = None

    def facts(self) -> dict[str, Any]:
        return {"constant": self._stuck}

    def break_(self, requests: Requests, served: Served, mask: Mask) -> None:  # noqa: ARG002
        if self._stuck is None and mask.any():
            self._stuck = float(served.values[np.flatnonzero(mask)[0]])
        if self._stuck is not None:
            served.values = np.where(mask, self._stuck, served.values)


class Swap(PipelineFault):
    kind = "swap"
    what = "two numbers change places (A+B)"
    target = "pair"

    @property
    def pair(self) -> tuple[Feature, Feature]:
        one, _, other = (self.text.target or "").partition("+")
        found = self.model.feature(one), self.model.feature(other)
        assert found[0] is not None
        assert found[1] is not None, "checked when it was made"
        return found[0], found[1]

    def facts(self) -> dict[str, Any]:
        return {"swapped": [feature.name for feature in self.pair]}

    def expected(self) -> tuple[Expected, ...]:
        kinds: tuple[Kind, ...] = ("schema", "data_quality")
        return tuple(
            Expected(kinds, ("fix_pipeline",), feature.name, self.segment) for feature in self.pair
        )

    def pipeline(self, requests: Requests) -> None:
        mask = self.chosen(requests)
        one, other = (requests.served[feature.name] for feature in self.pair)
        first, second = one.values, other.values
        one.values = np.where(mask, second, first)
        other.values = np.where(mask, first, second)
        self.touch(mask)


KINDS: tuple[type[Fault], ...] = (
    Null, Missing, Rename, Retype, NewCategory, Unit, Stale, Swap, Skew, FeatureSet,
)  # fmt: skip
