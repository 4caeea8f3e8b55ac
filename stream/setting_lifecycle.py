"""What is done about a model over its life: settings."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    PlainValidator,
    WithJsonSchema,
    model_validator,
)

from stream.events import Severity
from stream.rules import DAY_MS, ObjectiveRule, Requirement, Requires, RetrainRule, VersionRule
from stream.segments import shown_segment
from stream.setting_detection import Section
from stream.setting_owners import Name
from stream.setting_types import (
    Count,
    Duration,
    DurationOrNone,
    LabelText,
    Positive,
    PositiveDuration,
    ms,
    whole_ms,
)
from stream.times import iso, to_ms

_DEFAULT = RetrainRule()


def _moment(value: object) -> object:
    """YAML reads a date as one, and a time with an offset as a time."""
    if isinstance(value, datetime):
        moment = value
    elif isinstance(value, date):
        moment = datetime(value.year, value.month, value.day, tzinfo=UTC)
    elif isinstance(value, str):
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(f"{value!r} is no date or time, such as 2027-01-31") from None
    else:
        raise ValueError(f"{value!r} is no date or time, such as 2027-01-31")  # noqa: TRY004 pydantic wants ValueError
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Moment = Annotated[
    datetime,
    BeforeValidator(_moment),
    PlainSerializer(lambda at: iso(to_ms(at)), return_type=str, when_used="json"),
]


class RetrainSettings(Section):
    """When retraining is asked for on `topics.actions`."""

    performance: bool = Field(
        default=_DEFAULT.performance, description="When an alert on outcomes says so."
    )
    drifts: Count | None = Field(
        default=_DEFAULT.drifts, description="When so many drifts fire at a time; null: not."
    )
    severity_at_least: Severity = Field(
        default=_DEFAULT.severity_at_least, description="Of the drifts that count."
    )
    events: tuple[Name, ...] = Field(
        default=_DEFAULT.events, description="Names of business events that ask for it."
    )
    cooldown: Duration = Field(
        default=whole_ms(_DEFAULT.cooldown_ms), description="Between two requests."
    )
    every: DurationOrNone = Field(
        default="none", description="A version that was not retrained for so long is stale."
    )

    def rule(self) -> RetrainRule:
        return RetrainRule(
            performance=self.performance,
            drifts=self.drifts,
            severity_at_least=self.severity_at_least,
            events=tuple(sorted(set(self.events))),
            cooldown_ms=ms(self.cooldown),
            every_ms=None if self.every == "none" else ms(self.every),
        )


class VersionSettings(Section):
    """What is known of one version of a model."""

    rollback_to: Name | None = Field(
        default=None, description="The version that requests to roll back name."
    )
    deprecated_after: Moment | None = Field(
        default=None, description="Answers that it gives later are told."
    )
    successor: Name | None = Field(default=None, description="Where its requests should go.")

    def rule(self) -> VersionRule:
        after_ms = None if self.deprecated_after is None else to_ms(self.deprecated_after)
        return VersionRule(self.rollback_to, after_ms, self.successor)


def _requires(value: object) -> Requires:
    """A list in alphabetical order, each once."""
    if value == "auto":
        return "auto"
    known = sorted(get_args(Requirement))
    if not isinstance(value, list | tuple) or not all(one in known for one in value):
        raise ValueError(f"write auto, or a list of {', '.join(known)}")
    return tuple(one for one in known if one in value)


RequiresSetting = Annotated[
    Requires,
    PlainValidator(_requires),
    WithJsonSchema(
        {
            "anyOf": [
                {"const": "auto"},
                {"type": "array", "items": {"enum": sorted(get_args(Requirement))}},
            ]
        }
    ),
]


class ObjectiveSettings(Section):
    """What is acceptable of a model, declared before it goes live."""

    metric: Literal["error", "cost", "false_positive_rate"]
    at_most: Positive = Field(description="A share of judged predictions; a cost of each.")
    over: PositiveDuration = Field(
        default=whole_ms(30 * DAY_MS), description="The stretch of time that its budget is for."
    )
    of_class: LabelText | None = Field(
        default=None, description="Of false positives: one of classes; null: the positive one."
    )

    segment: dict[LabelText, LabelText] = Field(
        default={},
        description="Of this segment only, instead of what holds of all: region: EU.",
    )

    @model_validator(mode="after")
    def _is_possible(self) -> Self:
        if self.metric != "cost" and self.at_most > 1:
            raise ValueError(f"at_most {self.at_most:g} is no share of predictions")
        if self.of_class is not None and self.metric != "false_positive_rate":
            raise ValueError("of_class is for false_positive_rate")
        return self

    def rule(self) -> ObjectiveRule:
        segment = shown_segment(tuple(sorted(self.segment)), self.segment)
        over_ms, of_class = ms(self.over), self.of_class or ""
        return ObjectiveRule(self.metric, self.at_most, over_ms, of_class, segment)


Objectives = tuple[ObjectiveSettings, ...]
