"""What would be found in the row samples: what no longer goes together, what stops varying.

As `power`, for people only. Rows are fewer than predictions where panes are large.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.power import smallest_change, sure_delay
from detectors.run_length import fewest
from detectors.tilts import Tilts
from stream.columns import FEATURE
from stream.constant import commonest_of, sticky_at_most
from stream.joint_terms import AGAIN, ENOUGH, MEASURE, SERIES, joint_share
from stream.joint_watch import JointWatch
from stream.power import UNTOLD, WITHIN, Lines, Power, note_of
from stream.recent_rows import RecentRows
from stream.rules import Rules
from stream.stale_terms import EVERY, stale_share, terms_of
from stream.stale_terms import MEASURE as STALE
from stream.standards import Standards
from stream.watch import Watch

_NOTHING = Power(None, None, 1.0)


def together(
    lines: Lines, joint: JointWatch, recent: RecentRows, rules: Rules
) -> list[dict[str, Any]]:
    """Of all contrasts, the one least sure."""
    if joint.terms is None:
        return []
    sought, power, known, tau, floor = joint.sought(), _NOTHING, 0, 1.0, joint.terms.floor
    note: str | None = "not yet: what is usual at each hour is learned first"
    if sought is not None:
        power = of_contrasts(sought.tilts, sought.floors, sought.known)
        if sought.alone is not None:
            alone = of_contrasts(*sought.alone, sought.known)
            power = replace(power, loss=(power.smallest or 1.0) / (alone.smallest or 1.0))
        known, tau, floor = sought.known, sought.tau, float(sought.floors.max())
        note = note_of(power)
    a_row = recent.predictions_a_row(min(rules.joint.rows, rules.pane_rows))
    line = lines.line(
        SERIES, MEASURE, power, reference=joint.terms.reference_id, values=known, tau=tau,
        budget_share=joint_share(rules), floor=floor, predictions=_times(power.values, a_row),
        note=note,
    )  # fmt: skip
    return [line]


def of_contrasts(tilts: Tilts, floors: NDArray[np.float64], known: int) -> Power:
    """In rows. A crossing is told when as many rows again have come; until enough are known it must
    come before as many as are known have joined them."""
    change = smallest_change(tilts, within=WITHIN / 2.0 if known >= ENOUGH else known)
    has = np.isfinite(change)
    if not has.any():
        return _NOTHING
    change = np.fmax(change, floors)
    delay = sure_delay(tilts, change)
    rows = delay + np.maximum(delay, AGAIN)
    return Power(float(change[has].max()), float(rows[has].max()), 1.0)


def stuck(
    lines: Lines, watch: Watch, standards: Standards, recent: RecentRows, rules: Rules
) -> list[dict[str, Any]]:
    """Of each feature, at the commonest value that it might be stuck at."""
    watched, found = watch.watched, []
    if not rules.rates.enabled:
        return []
    a_row, budget_share = recent.predictions_a_row(rules.pane_rows), stale_share(watched, rules)
    for name in dict.fromkeys(name for name, _ in watched if name.startswith(FEATURE)):
        terms = terms_of(name, watched, budget_share, rules, lines.group[0])
        usual = None if terms is None else commonest_of(name, terms.profile.reference)
        if terms is None or usual is None:
            continue
        reference, share, power = terms.profile.reference, usual.share_at_most, _NOTHING
        note: str | None = "more than half of its reference is one value, or too near to it to say"
        if share is not None:
            chance = sticky_at_most(share * rules.kept_rows, rules.kept_rows)
            power = of_run(max(share, chance), terms.threshold, terms.tau, rules.kept_rows)
            note = note_of(power)
        if not standards.knows_hours(terms.profile):
            note = UNTOLD
        frozen = reference.feature(name)
        values = 0 if frozen is None else int(frozen.number[0] + frozen.text[0])
        rows = None if power.values is None else power.values * reference.count / max(values, 1)
        line = lines.line(
            name, STALE, power,
            reference=reference.id if standards.is_sealed(terms.profile) else None,
            values=values, tau=terms.tau, budget_share=budget_share, floor=terms.floor,
            predictions=_times(rows, a_row), note=note,
        )  # fmt: skip
        found.append(line)
    return found


def of_run(share: float, threshold: float, tau: float, kept_rows: int) -> Power:
    """Values until a feature is told to be stuck at one with this share; its size is by how much
    the share is larger then. A run is of rows that are kept."""
    run = fewest(share, threshold, tau=tau)
    if run > kept_rows:
        return _NOTHING
    return Power(1.0 - share, float(run + EVERY), 1.0)


def _times(rows: float | None, a_row: float | None) -> float | None:
    return None if rows is None or a_row is None else rows * a_row
