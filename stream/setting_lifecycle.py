"""What is done about a model over its life: settings."""

from __future__ import annotations

from pydantic import Field

from stream.events import Severity
from stream.rules import RetrainRule, VersionRule
from stream.setting_detection import Section
from stream.setting_owners import Name
from stream.setting_types import Count, Duration, ms, whole_ms

_DEFAULT = RetrainRule()


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

    def rule(self) -> RetrainRule:
        return RetrainRule(
            performance=self.performance,
            drifts=self.drifts,
            severity_at_least=self.severity_at_least,
            events=tuple(sorted(set(self.events))),
            cooldown_ms=ms(self.cooldown),
        )


class VersionSettings(Section):
    """What is known of one version of a model."""

    rollback_to: Name | None = Field(
        default=None, description="The version that requests to roll back name."
    )

    def rule(self) -> VersionRule:
        return VersionRule(rollback_to=self.rollback_to)
