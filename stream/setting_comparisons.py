"""The settings of shadows and experiments of a model."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from stream.rules import CHAMPION, SHADOW, ExperimentRule, RollbackRule, ShadowRule
from stream.setting_detection import Section
from stream.setting_types import PositiveDuration, Share, ms, whole_ms

_SHADOW = ShadowRule()
_EXPERIMENT = ExperimentRule("", (), ())
_ROLLBACK = RollbackRule()
_SPLIT_ADDS_UP = 1e-6
Metric = Literal["error", "brier", "absolute_error", "cost"]
Role = Annotated[str, Field(min_length=1, max_length=128)]


class ShadowSettings(Section):
    """What a shadow of a model may not do as its champion does, before it is told."""

    missing: Share = Field(
        default=_SHADOW.missing,
        description="Share of the champion's predictions, or values of a feature, that it lacks.",
    )
    latency: Annotated[float, Field(ge=1.0, allow_inf_nan=False)] = Field(
        default=_SHADOW.latency,
        description="An answer is slow at so many times what 95 % of the champion's take.",
    )
    slower: Share = Field(default=_SHADOW.slower, description="Share of slow answers.")
    without: tuple[str, ...] = Field(
        default=(), description="Features of the champion that it is not given on purpose."
    )
    margin: Annotated[float, Field(ge=0, lt=1, allow_inf_nan=False)] = Field(
        default=_SHADOW.margin, description="Share of predictions in which it may err more often."
    )
    alpha: Share = Field(
        default=_SHADOW.alpha,
        description="What is said of its errors is false with this probability, ever.",
    )

    def rule(self) -> ShadowRule | None:
        fields = self.model_dump() | {"without": tuple(sorted(self.without))}
        made = ShadowRule(**fields)
        return None if made == _SHADOW else made


class RollbackSettings(Section):
    """When a version is worse than its `versions.<version>.rollback_to`."""

    metric: Metric = Field(
        default="error", description="Of judged predictions; the less the better."
    )
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=_ROLLBACK.margin, description="So much worse it may be."
    )
    alpha: Share = Field(
        default=_ROLLBACK.alpha, description="Of a rollback asked for without reason, ever."
    )

    def rule(self) -> RollbackRule | None:
        made = RollbackRule(**self.model_dump())
        return None if made == _ROLLBACK else made


class ExperimentSettings(Section):
    """Variants of a model that subjects are dealt to by chance, compared by one metric."""

    variants: Annotated[tuple[Role, ...], Field(min_length=2, max_length=10)] = Field(
        description="Roles; the others are compared with the first."
    )
    split: tuple[Share, ...] = Field(default=(), description="Planned shares; left out: equal.")
    metric: Metric = Field(
        default="error", description="Of judged predictions; the less the better."
    )
    margin: Annotated[float, Field(ge=0, allow_inf_nan=False)] = Field(
        default=_EXPERIMENT.margin, description="A difference within it is none."
    )
    alpha: Share = Field(
        default=_EXPERIMENT.alpha, description="Of a false decision, whenever it is made."
    )
    span: PositiveDuration = Field(
        default=whole_ms(_EXPERIMENT.span_ms),
        description="Event time after which what is undecided stays so.",
    )

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len({*self.variants}) < len(self.variants):
            raise ValueError("variants: each role once")
        if {CHAMPION, SHADOW} & {*self.variants}:
            raise ValueError("variants: roles of their own, not champion or shadow")
        if self.split and len(self.split) != len(self.variants):
            raise ValueError("split: a share for each of the variants")
        if self.split and abs(sum(self.split) - 1.0) > _SPLIT_ADDS_UP:
            raise ValueError("split: shares must add up to 1")
        return self

    def rule(self, name: str) -> ExperimentRule:
        split = self.split or tuple(1.0 / len(self.variants) for _ in self.variants)
        return ExperimentRule(
            name, self.variants, split, self.metric, self.margin, self.alpha, ms(self.span)
        )
