"""Which models' events a source partition takes, from which record of each side on.

A configuration that comes into force may name other models than the one before. What a model's
held rows depend on (its maturity, its reference) is the same in all configurations that know it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Literal

from stream.rule_book import rules_part, rules_stored
from stream.rules import ModelRule, Rules
from stream.snapshot import Part

Side = Literal["predictions", "outcomes"]
SIDES: tuple[Side, Side] = ("predictions", "outcomes")


class Acceptance:
    def __init__(self, founding: Rules) -> None:
        self._in_force: dict[Side, Rules] = dict.fromkeys(SIDES, founding)
        self._known = [founding]  # in the order in which they came into force
        self._announced: dict[Side, list[int]] = {side: [] for side in SIDES}

    def of(self, side: Side) -> Rules:
        return self._in_force[side]

    def accept(self, side: Side, rules: Rules, announced_at: int) -> None:
        if self.has(side, announced_at):
            return
        self._in_force[side] = rules
        self._announced[side].append(announced_at)
        if rules not in self._known:
            self._known.append(rules)

    def has(self, side: Side, announced_at: int) -> bool:
        return announced_at in self._announced[side]

    def merged(self) -> Rules:
        """With what any of them says of a model: one that is taken no more may still be held."""
        models: dict[str, ModelRule] = {}
        for rules in reversed(self._known):
            models |= rules.models
        return replace(self._known[0], models=models)

    # -- state

    def snapshot(self) -> dict[str, Any]:
        return {
            "known": [rules.config_hash() for rules in self._known],
            "in_force": {side: rules.config_hash() for side, rules in self._in_force.items()},
            "announced": {side: list(offsets) for side, offsets in self._announced.items()},
        }

    def parts(self) -> list[Part]:
        """The rules themselves; none where only the first ever were in force."""
        return [rules_part(rules) for rules in self._known[1:]]

    def restore(self, plain: dict[str, Any], state: Mapping[str, bytes]) -> None:
        """Beside the founding rules, with which this was made."""
        self._known += [rules_stored(config_hash, state) for config_hash in plain["known"][1:]]
        by_hash = dict(zip(plain["known"], self._known, strict=True))
        self._in_force = {side: by_hash[plain["in_force"][side]] for side in SIDES}
        self._announced = {side: list(plain["announced"][side]) for side in SIDES}
