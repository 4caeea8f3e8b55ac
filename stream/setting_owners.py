"""Who answers for a model, and who is told when nobody has answered: settings."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from stream.events import Severity
from stream.rules import EscalationRule
from stream.setting_detection import Section
from stream.setting_types import PositiveDuration, duration_text, ms

Name = Annotated[str, Field(pattern=r"^\S(.*\S)?$", max_length=200)]
"""Of a person, a team or an address: not blank."""


class OwnerSettings(Section):
    """Who answers for a model (RACI): one is accountable, and those who act are responsible."""

    accountable: str = Field(min_length=1, pattern=r"\S")
    responsible: tuple[Name, ...] = ()
    consulted: tuple[Name, ...] = ()
    informed: tuple[Name, ...] = ()

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        for part in ("responsible", "consulted", "informed"):
            names = getattr(self, part)
            twice = [name for name in names if names.count(name) > 1]
            if twice:
                raise ValueError(f"{part} names {twice[0]} twice")
        return self

    def gaps(self) -> list[str]:
        """What works without, and should not be missing where a pager listens."""
        if self.responsible:
            return []
        return [f"responsible: nobody is named: it falls to {self.accountable}, who is accountable"]


class EscalationSettings(Section):
    """An alert that nobody has acknowledged so long after it fired is told to these too."""

    after: PositiveDuration
    severity_at_least: Severity = "error"
    to: tuple[Name, ...] = Field(min_length=1)

    def rule(self) -> EscalationRule:
        return EscalationRule(ms(self.after), self.severity_at_least, self.to)


def _rising(steps: tuple[EscalationSettings, ...] | None) -> tuple[EscalationSettings, ...] | None:
    for one, other in pairwise(steps or ()):
        if other.after <= one.after:
            raise ValueError(
                f"each step comes after the one before it, not at {duration_text(other.after)}"
            )
    return steps


Escalation = Annotated[tuple[EscalationSettings, ...], AfterValidator(_rising)]


def escalation_rule(steps: tuple[EscalationSettings, ...]) -> tuple[EscalationRule, ...]:
    return tuple(step.rule() for step in steps)
