"""Who answers for a model, and who is told when nobody has answered: settings."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import Field, model_validator

from stream.setting_detection import Section

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
