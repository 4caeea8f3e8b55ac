"""The sections of `leeway.yaml` about detection: the budget, the floors, the detectors."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from stream.rules import BudgetRule, FloorRule, JointRule, Rules
from stream.setting_types import (
    BudgetCount,
    Count,
    Positive,
    PositiveDuration,
    Ratio,
    Share,
    ms,
    whole_ms,
)

_DEFAULT = Rules()  # the core's defaults are the only ones: a second list would drift


class Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class BudgetSettings(Section):
    """False alerts that a model may raise; the stricter of the two holds."""

    predictions: BudgetCount = Field(
        default=_DEFAULT.budget.predictions, description="One false alert per so many."
    )
    span: PositiveDuration = Field(
        default=whole_ms(_DEFAULT.budget.span_ms), description="And one per so much time."
    )

    def rule(self) -> BudgetRule:
        return BudgetRule(self.predictions, ms(self.span))


class ModelBudgetSettings(Section):
    """As `budget`, for one model; what is left out is as for every model."""

    predictions: BudgetCount | None = None
    span: PositiveDuration | None = None

    def rule(self, common: BudgetSettings) -> BudgetRule | None:
        if self == ModelBudgetSettings():
            return None
        return BudgetRule(self.predictions or common.predictions, ms(self.span or common.span))


class FloorSettings(Section):
    """The smallest changes worth telling a person about."""

    shift: Positive = Field(
        default=_DEFAULT.floors.shift,
        description="Of a feature, score or latency: standard deviations, on ranks.",
    )
    error: Positive = Field(
        default=_DEFAULT.floors.error, description="Of an error or a loss: relative."
    )
    shape: Share = Field(
        default=_DEFAULT.floors.shape, description="Of a distribution: total variation."
    )
    calibration: Share = Field(
        default=_DEFAULT.floors.calibration,
        description="Of how often equal scores come true: share of them.",
    )
    unlabelled: Share = Field(
        default=_DEFAULT.floors.unlabelled,
        description="Of judged predictions without an outcome: share.",
    )

    joint: Positive = Field(
        default=_DEFAULT.floors.joint,
        description="Of what goes together: standard deviations of a product, on ranks.",
    )

    def rule(self) -> FloorRule:
        return FloorRule(
            self.shift,
            self.error,
            self.shape,
            calibration=self.calibration,
            unlabelled=self.unlabelled,
            joint=self.joint,
        )


class ModelFloorSettings(Section):
    """As `floors`, for one model, and of single series; the rest is as for every model."""

    shift: Positive | None = None
    error: Positive | None = None
    shape: Share | None = None
    calibration: Share | None = None
    unlabelled: Share | None = None
    joint: Positive | None = None
    series: dict[str, Positive] = Field(
        default={}, description="By series: feature:amount, prediction:score, outcome:error."
    )

    def rule(self, common: FloorSettings) -> FloorRule | None:
        if self == ModelFloorSettings():
            return None
        return FloorRule(
            self.shift or common.shift,
            self.error or common.error,
            self.shape or common.shape,
            tuple(sorted(self.series.items())),
            self.calibration or common.calibration,
            self.unlabelled or common.unlabelled,
            self.joint or common.joint,
        )


class AdwinSettings(Section):
    enabled: bool = _DEFAULT.adwin.enabled
    delta: Share = _DEFAULT.adwin.delta
    clock: Count = _DEFAULT.adwin.clock


class PageHinkleySettings(Section):
    enabled: bool = _DEFAULT.page_hinkley.enabled
    delta: Positive = _DEFAULT.page_hinkley.delta
    threshold: Positive = _DEFAULT.page_hinkley.threshold


class RateSettings(Section):
    enabled: bool = _DEFAULT.rates.enabled
    min_rise: Share = _DEFAULT.rates.min_rise
    ratio: Ratio = _DEFAULT.rates.ratio


class JointSettings(Section):
    """Changes between features that no single one shows."""

    enabled: bool = _DEFAULT.joint.enabled
    pairs: Count = Field(default=_DEFAULT.joint.pairs, description="Of features, at most.")
    rows: Count = Field(
        default=_DEFAULT.joint.rows, description="Of the row sample of a pane, at most."
    )

    def rule(self) -> JointRule:
        return JointRule(**self.model_dump())


class DetectorSettings(Section):
    adwin: AdwinSettings = AdwinSettings()
    page_hinkley: PageHinkleySettings = PageHinkleySettings()
    rates: RateSettings = RateSettings()
    joint: JointSettings = JointSettings()
    minimum: Count = Field(
        default=_DEFAULT.minimum_values,
        description="Values before a self-starting detector may alert.",
    )
