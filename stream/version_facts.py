"""What stage 2 tells stage 3 of the versions that answer predictions: once in an hour, of models
whose rules ask for something of their versions (`stream.governance`)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from stream.columns import Group
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable
from stream.roster import Life
from stream.rules import HOUR_MS, SHADOW
from stream.times import iso


def facts(
    life: Life, panes: PaneTable, monitor: Monitor | None, is_asked: Callable[[int], bool]
) -> Iterator[MonitorFinding]:
    """Of the panes of a life that have come last, in order; `life.predictions` counts them too.
    `is_asked`: by pane end, whether the rules in force ask for something."""
    so_far = life.predictions - int(panes.rows.sum()) + np.cumsum(panes.rows)
    references = [] if monitor is None else monitor.references
    sealed = [reference.end_ms for reference in references if not reference.source]
    given_ms = None if monitor is None else monitor.deployed_ms
    for end_ms, predictions in zip(panes.pane_end.tolist(), so_far.tolist(), strict=True):
        if end_ms // HOUR_MS <= life.told_ms // HOUR_MS or not is_asked(end_ms):
            continue
        life.told_ms = end_ms
        held = [at_ms for at_ms in sealed if at_ms <= end_ms]
        detail = {
            "first_ms": life.first_end_ms,
            "predictions": predictions,
            "base_ms": max([life.first_end_ms, *held]),
            "has_reference": bool(held) or (given_ms is not None and given_ms <= end_ms),
        }
        yield MonitorFinding(end_ms, "version", "Version", detail, "seen")


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
