"""What a version that answers predictions must have, and what of it is not there.

Lists that an owner has given in `requires` hold for every version. `auto` holds a *deployment* to
all there is: a version of a model that the configuration names, first seen a day or more behind
another one that still counted (see `version_facts`). What was there when Leeway came is none.
"""

from __future__ import annotations

from stream.columns import Group
from stream.rules import SHADOW, Requirement, Rules

ALL: tuple[Requirement, ...] = ("reference", "owner", "thresholds", "rollback")
_OF_VARIANT: tuple[Requirement, ...] = ("owner",)
"""A declared experiment gives the rest: what a variant is compared with, by what, and where its
subjects go back to."""


def required(rules: Rules, group: Group, *, is_deployment: bool) -> tuple[Requirement, ...]:
    asked = rules.requires_of(group[0])
    if asked != "auto":
        return asked
    if not (is_deployment and rules.holds_deployments(group[0])) or group[2] == SHADOW:
        return ()
    declared = rules.model(group[0]).experiments
    return _OF_VARIANT if any(group[2] in one.variants for one in declared) else ALL


def lacking(
    rules: Rules, group: Group, *, is_deployment: bool, has_reference: bool, is_first: bool
) -> list[Requirement]:
    """In the order of what is required; `is_first`: there was none to roll back to."""
    model = rules.model(group[0])
    has: dict[Requirement, bool] = {
        "reference": has_reference,
        "owner": bool(model.owners.responsible),
        "thresholds": model.has_thresholds,
        "rollback": is_first or rules.rollback_target(*group[:2]) is not None,
    }
    asked = required(rules, group, is_deployment=is_deployment)
    return [requirement for requirement in asked if not has[requirement]]
