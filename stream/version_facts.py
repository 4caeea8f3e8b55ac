"""What stage 2 tells stage 3 of the versions that answer predictions (`stream.governance`).

Of models whose rules ask for something of each of their versions once in an hour. Where they ask
for it of deployments only, of these: with their first pane, and by the hour while something lacks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stream.columns import Group
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable
from stream.readiness import lacking
from stream.roster import Life
from stream.rules import DAY_MS, HOUR_MS, SHADOW, Rules
from stream.times import iso

ADOPTED_MS = DAY_MS
"""What is first seen so shortly behind the first version was there when Leeway came."""


def is_deployment(
    lives: Mapping[Group, Sequence[Life]], group: Group, life: Life, forget_ms: int
) -> bool:
    """Whether a life that begins is that of a version that goes live beside others, or behind
    them: one of these was seen long enough before and is not forgotten. `lives`: those of its model
    that began before. What of them is forgotten earlier or later does not count."""
    if group[2] == SHADOW or group[3]:
        return False
    there = [
        (other, of)
        for other, known in lives.items()
        if other[2] != SHADOW and not other[3]
        for of in known
        if of.last_end_ms + forget_ms >= life.first_end_ms
    ]
    if any(other[1] == group[1] and not of.is_deployment for other, of in there):
        return False  # in another role it was there when Leeway came; one deployed to that role is
    return any(of.first_end_ms + ADOPTED_MS <= life.first_end_ms for _, of in there)


def facts(
    life: Life,
    group: Group,
    panes: PaneTable,
    monitor: Monitor | None,
    rules_at: Callable[[int], Rules],
) -> Iterator[MonitorFinding]:
    """Of the panes of a life that have come last, in order; `life.predictions` counts them too.
    `rules_at`: those in force, by pane end."""
    if panes.last_end_ms // HOUR_MS <= life.told_ms // HOUR_MS:
        return
    so_far = life.predictions - int(panes.rows.sum()) + np.cumsum(panes.rows)
    references = [] if monitor is None else monitor.references
    sealed = [reference.end_ms for reference in references if not reference.source]
    given_ms = None if monitor is None else monitor.deployed_ms
    for end_ms, predictions in zip(panes.pane_end.tolist(), so_far.tolist(), strict=True):
        if end_ms // HOUR_MS <= life.told_ms // HOUR_MS:
            continue
        rules, held = rules_at(end_ms), [at_ms for at_ms in sealed if at_ms <= end_ms]
        is_told, lacked = rules.governs(group[0]), life.lacks
        has_reference = bool(held) or (given_ms is not None and given_ms <= end_ms)
        life.lacks = is_told or _lacks(life, group, rules, has_reference=has_reference)
        if life.is_deployment or life.lacks or lacked:
            life.told_ms = end_ms
        if not (life.lacks or lacked):
            continue
        detail = {
            "first_ms": life.first_end_ms,
            "predictions": predictions,
            "base_ms": max([life.first_end_ms, *held]),
            "has_reference": has_reference,
        }
        if life.is_deployment:
            detail["is_deployment"] = True
        if not life.lacks:  # what stage 3 knows of the rules may be older, and no more will come
            detail["is_last"] = True
        yield MonitorFinding(end_ms, "version", "Version", detail, "seen")


def _lacks(life: Life, group: Group, rules: Rules, *, has_reference: bool) -> bool:
    return life.is_deployment and bool(
        lacking(rules, group, is_deployment=True, has_reference=has_reference, is_first=False)
    )


def shown_lives(lives: Mapping[Group, Sequence[Life]]) -> list[dict[str, Any]]:
    """Of one model, for people."""
    whole = {group: of for group, of in lives.items() if of and not group[3]}
    counts = {group: sum(life.predictions for life in of) for group, of in whole.items()}
    answered = sum(count for group, count in counts.items() if group[2] != SHADOW)
    return [
        {
            "model": group[0],
            "version": group[1],
            "role": group[2],
            "first_seen": iso(of[0].first_end_ms),
            "last_seen": iso(of[-1].last_end_ms),
            "predictions": counts[group],
            "traffic_share": None
            if group[2] == SHADOW
            else float(f"{counts[group] / max(answered, 1):.4g}"),
        }
        for group, of in sorted(whole.items())
    ]
