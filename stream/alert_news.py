"""Whether what is found again of an alert that fires is news to who has read it.

It is where somebody would act otherwise: it is graver, of another kind, or its effect is surely
another one than what was told last. Each time that it was told again asks for more: a truth that
stays, about which a detector errs (values depend more than is known, or vary more than they did),
is silent after a few, and a change is told, late at worst, once enough values agree.
"""

from __future__ import annotations

from typing import Any

from stream.events import Alert
from stream.members import SEVERITIES, Member
from stream.wire import Finding

_MEASURED = frozenset({"score_cusum", "bernoulli_cusum", "e_detector", "adwin", "page_hinkley"})
"""Detectors that look again at what they have told; others tell what is new only."""
PART = "part"  # of a distribution: which bin, in the evidence


def is_news(firing: Alert, member: Member, finding: Finding) -> bool:
    """Of a finding that says that things have changed once more."""
    detail = finding.detail
    if detail["detector"]["name"] not in _MEASURED:
        return True
    if SEVERITIES.index(detail["severity"]) > SEVERITIES.index(member.severity):
        return True
    if firing.kind == "performance" != detail["kind"] and not member.is_folded:
        return True  # it has become known that it is the concept
    return _is_another(firing, detail, 1 + member.retold)


def _is_another(firing: Alert, detail: dict[str, Any], doubt: int) -> bool:
    """Whether the effect is another one than what was told, both intervals `doubt` times as
    wide; of another part of a distribution nothing was told."""
    told, effect = firing.effect, detail["effect"]
    rise = effect["estimate"] - told.estimate
    room = told.high - told.estimate if rise > 0 else told.estimate - told.low
    if detail["evidence"].get(PART) != firing.evidence.get(PART):
        rise, room = effect["estimate"], 0.0
    own = effect["estimate"] - effect["low"] if rise > 0 else effect["high"] - effect["estimate"]
    return bool(abs(rise) > doubt * (room + own))
