"""A loss of a version that has just gone live, or that was to end: training is not the answer.

What is worse since the first predictions of a version, than another one was or than its training,
may be the version itself; whether to go back is decided by `VersionWorse`. Where its predictions
are to go to another version, it is not to be trained.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from stream.columns import Group
from stream.concept import without_concept
from stream.members import VERSION_WORSE, Sign
from stream.reference import Reference
from stream.rules import Rules
from stream.times import iso
from stream.wire import Finding


def of_version(
    detail: dict[str, Any],
    rules: Rules,
    end_ms: int,
    *,
    group: Group,
    first_ms: int,
    references: Sequence[Reference],
) -> dict[str, Any]:
    """What a loss says instead of `retrain`; `first_ms`: the first pane of its version ended then;
    `references`: that it was compared with."""
    if detail["recommended_action"] != "retrain":
        return detail
    model_id, version, *_ = group
    known = rules.version_of(model_id, version)
    if known.is_past(end_ms):
        to = f": move them to v{known.successor}" if known.successor else ""
        ended = iso(known.deprecated_after_ms or 0)[:10]
        return _looked_into(detail, f"; it was to end on {ended} and still answers predictions{to}")
    if detail["evidence"]["reference"].get("from_first"):
        return _looked_into(detail, "")
    since_ms = detail["change_at_ms"]
    is_first = _is_first(since_ms, first_ms, end_ms)
    if known.rollback_to is None or not is_first or not _is_inherited(detail, group, references):
        return detail
    return _looked_into(detail, "; so since it went live: find out why before it is trained again")


def is_to_go_back(finding: Finding) -> bool:
    """Of a version that is worse than the one before it."""
    is_worse = finding.alertname == VERSION_WORSE and finding.verdict == "drift"
    return is_worse and bool(finding.detail["recommended_action"] == "rollback")


def both_lost(detail: dict[str, Any]) -> dict[str, Any]:
    """The one before it was only as good as its reference until things became worse for it too."""
    other = detail["evidence"]["reference"]["version"]
    found = detail["summary"].rpartition(": ")[0]
    because = f", but v{other} had become worse than that too: find out which of both is better"
    return detail | {"recommended_action": "investigate", "summary": found + because}


def was_as_good(finding: Finding, losses: Iterable[Sign]) -> int | None:
    """Since when, surely not with its first prediction, it has been worse than its reference."""
    first_ms = finding.detail["change_at_ms"]
    onsets = [(s.start_ms, s.found_ms) for s in losses]
    if any(_is_first(since_ms, first_ms, found_ms) for since_ms, found_ms in onsets):
        return None
    return min((since_ms for since_ms, _ in onsets), default=None)


def has_turned(detail: dict[str, Any], since_ms: int) -> dict[str, Any]:
    """How the other one would do by now is not known from what it did before that."""
    found = detail["summary"].rpartition(": ")[0]
    because = f", but it became worse on {iso(since_ms)} only: find out what changed then"
    return detail | {"recommended_action": "investigate", "summary": found + because}


def _is_first(since_ms: int, first_ms: int, end_ms: int) -> bool:
    return 2 * (since_ms - first_ms) <= end_ms - since_ms  # as `Sign.begins_with`


def _is_inherited(detail: dict[str, Any], group: Group, references: Sequence[Reference]) -> bool:
    reference_id = detail["reference"]["id"]
    return any(of.id == reference_id for of in references if of.group != group and not of.source)


def _looked_into(detail: dict[str, Any], because: str) -> dict[str, Any]:
    if detail["kind"] == "concept_drift":  # what has changed may be the version
        detail = without_concept(detail)
    summary = detail["summary"] + because
    return detail | {"recommended_action": "investigate", "summary": summary}
