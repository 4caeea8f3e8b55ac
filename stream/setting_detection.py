"""The sections of `leeway.yaml` about detection: the budget, the floors, the detectors."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from stream.rules import (
    AdwinRule,
    BudgetRule,
    FloorRule,
    JointRule,
    LatencyRule,
    PageHinkleyRule,
    Rules,
    ThresholdRule,
    TrafficRule,
)
from stream.setting_types import (
    BudgetCount,
    Count,
    Positive,
    PositiveDuration,
    PositiveOrAuto,
    Ratio,
    Share,
    ShareOrAuto,
    Silence,
    ms,
    whole_ms,
)

_AUTO: Any = "auto"
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


class SeriesFloorSettings(Section):
    """The smallest changes of one series that are worth telling; the rest is as for its model."""

    mean: Positive | None = Field(
        default=None, description="Of a shift, an error or a loss, as `shift` and `error` are."
    )
    shape: Share | None = None
    faults: Share | None = Field(
        default=None, description="Of nulls, absences, wrong types and so on: rise of the share."
    )


class ModelFloorSettings(Section):
    """As `floors`, for one model, and of single series; the rest is as for every model."""

    shift: Positive | None = None
    error: Positive | None = None
    shape: Share | None = None
    calibration: Share | None = None
    unlabelled: Share | None = None
    joint: Positive | None = None
    series: dict[str, Positive | SeriesFloorSettings] = Field(
        default={},
        description="By series: feature:amount, prediction:score, outcome:error. A number: `mean`.",
    )

    def rule(self, common: FloorSettings) -> FloorRule | None:
        if self == ModelFloorSettings():
            return None
        own = {
            name: of if isinstance(of, SeriesFloorSettings) else SeriesFloorSettings(mean=of)
            for name, of in sorted(self.series.items())
        }
        return FloorRule(
            self.shift or common.shift,
            self.error or common.error,
            self.shape or common.shape,
            tuple((name, of.mean) for name, of in own.items() if of.mean),
            self.calibration or common.calibration,
            self.unlabelled or common.unlabelled,
            self.joint or common.joint,
            tuple((name, of.shape) for name, of in own.items() if of.shape),
            tuple((name, of.faults) for name, of in own.items() if of.faults),
        )


class ThresholdSettings(Section):
    """Distances between row samples that are told beyond a threshold, whatever the budget."""

    psi: Positive | None = None
    ks: Share | None = None
    jensen_shannon: Share | None = None
    wasserstein: Positive | None = Field(
        default=None, description="In standard deviations of the reference."
    )
    chi2: Share | None = Field(default=None, description="Told at this p or below.")

    def rule(self) -> ThresholdRule:
        return ThresholdRule(**self.model_dump())

    def of_model(self, common: ThresholdSettings) -> ThresholdRule | None:
        if self == ThresholdSettings():
            return None
        own = {name: value for name, value in self.model_dump().items() if value is not None}
        return ThresholdRule(**(common.model_dump() | own))


class TrafficSettings(Section):
    """How many predictions of a model come, all versions together."""

    enabled: bool = _DEFAULT.traffic.enabled
    change: Share = Field(
        default=_DEFAULT.traffic.change,
        description="Of the predictions of an hour, more or fewer than in the reference.",
    )
    silence: Silence = Field(
        default=_AUTO, description="Time without a prediction that is told; auto: beyond chance."
    )

    def rule(self) -> TrafficRule:
        return TrafficRule(self.enabled, self.change, _silence(self.silence))


class ModelTrafficSettings(Section):
    """As `traffic`, for one model; what is left out is as for every model."""

    enabled: bool | None = None
    change: Share | None = None
    silence: Silence | None = None

    def rule(self, common: TrafficSettings) -> TrafficRule | None:
        if self == ModelTrafficSettings():
            return None
        return TrafficRule(
            common.enabled if self.enabled is None else self.enabled,
            self.change or common.change,
            _silence(common.silence if self.silence is None else self.silence),
        )


class LatencySettings(Section):
    """What is promised: half, 95 %, 99 % of the answers of an hour within this."""

    p50: PositiveDuration | None = None
    p95: PositiveDuration | None = None
    p99: PositiveDuration | None = None

    def rule(self) -> LatencyRule | None:
        wanted = (("p50", 0.5, self.p50), ("p95", 0.95, self.p95), ("p99", 0.99, self.p99))
        found = tuple((n, share, float(ms(d))) for n, share, d in wanted if d is not None)
        return LatencyRule(found) if found else None


def _silence(wait: timedelta | Literal["auto", "none"]) -> int | Literal["auto"] | None:
    if isinstance(wait, timedelta):
        return ms(wait)
    return "auto" if wait == "auto" else None


class AdwinSettings(Section):
    enabled: bool = _DEFAULT.adwin.enabled
    delta: ShareOrAuto = Field(
        default=_AUTO, description="δ, shared by all series; auto: from the budget."
    )
    clock: Count = _DEFAULT.adwin.clock

    def rule(self, river: tuple[str, ...]) -> AdwinRule:
        delta = None if str(self.delta) == "auto" else self.delta
        return AdwinRule(self.enabled or "ADWIN" in river, delta, self.clock)


class PageHinkleySettings(Section):
    enabled: bool = _DEFAULT.page_hinkley.enabled
    delta: Positive = _DEFAULT.page_hinkley.delta
    threshold: PositiveOrAuto = Field(
        default=_AUTO, description="λ, in scaled units; auto: from the budget, with its own δ."
    )

    def rule(self, river: tuple[str, ...]) -> PageHinkleyRule:
        threshold = None if str(self.threshold) == "auto" else self.threshold
        return PageHinkleyRule(self.enabled or "PageHinkley" in river, self.delta, threshold)


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


_EVENTS_ONLY = (
    "it takes right and wrong predictions one by one, in their order, and a pane counts them; "
    "ErrorRateDrift watches the same error"
)
_REFUSED = {
    **dict.fromkeys(("DDM", "EDDM", "HDDM_A", "HDDM_W", "FHDDM"), _EVENTS_ONLY),
    "KSWIN": "it needs every single value, at some 2,000 a second, and alarms up to 1,300 times in "
    "1M values that do not change; evidence has KS, and thresholds.ks alerts on it",
    "DummyDriftDetector": "it alarms at random",
}


def _of_river(name: str) -> str:
    if name in _REFUSED:
        raise ValueError(f"{name} makes no sense here: {_REFUSED[name]}")
    return name


River = Annotated[Literal["ADWIN", "PageHinkley"], BeforeValidator(_of_river)]


class DetectorSettings(Section):
    adwin: AdwinSettings = AdwinSettings()
    page_hinkley: PageHinkleySettings = PageHinkleySettings()
    river: tuple[River, ...] = Field(
        default=(), description="By river's names: those that make sense on panes."
    )
    rates: RateSettings = RateSettings()
    joint: JointSettings = JointSettings()
    proven: bool = Field(
        default=_DEFAULT.proven,
        description="Rates under the e-detector: a proven rate of false alerts, found later.",
    )
    minimum: Count = Field(
        default=_DEFAULT.minimum_values,
        description="Values before a self-starting detector may alert.",
    )
