"""Whether what is found again of an alert that fires is news to who has read it.

It is where somebody would act otherwise: it is graver, of another kind, or follows from a fault, or
its effect is surely another one than what was told last. Each time that it was told again asks for
more, also of an alert that comes back within the cooldown: a truth that stays, about which a
detector errs (values depend more than is known, or vary more than they did), is silent after a few,
and a change is told, late at worst, once enough values agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec
import numpy as np

from detectors.effects import NOTHING, Interval, is_another
from stream.events import Alert, AlertEffect
from stream.members import SEVERITIES, Member
from stream.wire import Finding

_MEASURED = frozenset(
    {"score_cusum", "bernoulli_cusum", "e_detector", "adwin", "page_hinkley", "poisson_rate"}
)
"""Detectors that may say again what they have told; others tell what is new only."""
PART = "part"  # of a distribution: which bin, in the evidence of what is current


TURNS = 2  # times that an alert is told again for what it had been before
News = Literal["new", "effect", "turn"]
"""It was never so; another effect than what was told; it is again what it has been before."""


def news_of(firing: Alert, member: Member, finding: Finding, cause: Member | None) -> News | None:
    """Of a finding that says that things have changed once more; `cause`: what it follows from."""
    detail = finding.detail
    if detail["detector"]["name"] not in _MEASURED:
        return "new"
    severity = SEVERITIES.index(detail["severity"])
    if severity > max(map(SEVERITIES.index, (member.severity, member.gravest))):
        return "new"
    is_of_outcomes = firing.kind == "performance" and not member.is_folded
    if is_of_outcomes and detail["kind"] != "performance":
        return "new"  # it has become known that the concept drifts
    now, was = _interval(detail["effect"]), _interval(firing.effect)
    if _part(detail["evidence"]) != _part(firing.evidence):
        was = NOTHING  # of that part nothing was told
    if is_another(now, was, 1 + member.retold):
        return "effect"
    is_graver = severity > SEVERITIES.index(member.severity)
    is_turn = is_graver or member.is_folded != (cause is not None)
    return "turn" if is_turn and member.turns < TURNS else None


def _part(evidence: Mapping[str, Mapping[str, Any]]) -> int | None:
    return evidence.get("current", {}).get(PART)


def _interval(of: AlertEffect | Mapping[str, float]) -> Interval:
    ends = msgspec.to_builtins(of) if isinstance(of, AlertEffect) else of
    return Interval(*(np.asarray(ends[name]) for name in ("estimate", "low", "high")))
