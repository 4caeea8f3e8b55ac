"""Whether what is found again of an alert that fires is news to who has read it.

It is where somebody would act otherwise: it is graver, of another kind, or its effect is surely
another one than what was told last. Each time that it was told again asks for more: a truth that
stays, about which a detector errs (values depend more than is known, or vary more than they did),
is silent after a few, and a change is told, late at worst, once enough values agree.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
import numpy as np

from detectors.effects import NOTHING, Interval, is_another
from stream.events import Alert, AlertEffect
from stream.members import SEVERITIES, Member
from stream.wire import Finding

_MEASURED = frozenset({"score_cusum", "bernoulli_cusum", "e_detector", "adwin", "page_hinkley"})
"""Detectors that look again at what they have told; others tell what is new only."""
PART = "part"  # of a distribution: which bin, in the evidence of what is current


def is_news(firing: Alert, member: Member, finding: Finding) -> bool:
    """Of a finding that says that things have changed once more."""
    detail = finding.detail
    if detail["detector"]["name"] not in _MEASURED:
        return True
    if is_graver(member, detail):
        return True
    is_of_outcomes = firing.kind == "performance" and not member.is_folded
    if is_of_outcomes and detail["kind"] != "performance":
        return True  # it has become known that the concept drifts
    was, now = firing.effect, _interval(detail["effect"])
    if _part(detail["evidence"]) != _part(firing.evidence):
        return is_another(now, NOTHING, 1 + member.retold)  # of that part nothing was told
    return is_another(now, _interval(was), 1 + member.retold)


def is_graver(member: Member, detail: dict[str, Any]) -> bool:
    return SEVERITIES.index(detail["severity"]) > SEVERITIES.index(member.severity)


def _part(evidence: Mapping[str, Mapping[str, Any]]) -> int | None:
    return evidence.get("current", {}).get(PART)


def _interval(of: AlertEffect | Mapping[str, float]) -> Interval:
    ends = msgspec.to_builtins(of) if isinstance(of, AlertEffect) else of
    return Interval(*(np.asarray(ends[name]) for name in ("estimate", "low", "high")))
