"""Which features have moved with the predictions: before and after, the greatest first.

Read off the rows of the window and of the reference when an alert of predictions is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from detectors.distance import chi_squared, ks
from detectors.ordered import distinct
from detectors.unit_maps import p_value
from stream.columns import FEATURE, Column, Rows
from stream.reference import Reference

MOST = 256  # features that are looked at, by name
SHOWN = 5
_FEWEST = 20  # values on each side
_BY_CHANCE = 0.001  # p at which a feature has not moved


def ranked_features(window: Rows | None, reference: Reference) -> list[dict[str, Any]] | None:
    """Those that moved, as far as these rows show, by size: of numbers Kolmogorov-Smirnov's
    distance, with the means; of texts the share of the category that moved most. None: there are
    too few rows to tell."""
    if window is None or len(window) < _FEWEST:
        return None
    sample = reference.table.sample
    found: list[dict[str, Any]] = []
    names = [name for name in sorted(window.columns) if name.startswith(FEATURE)]
    for name in names[:MOST]:
        before = sample.columns.get(name)
        moved = None if before is None else _moved(before, window.columns[name], window, sample)
        if moved is not None:
            found.append({"feature": name.removeprefix(FEATURE), **moved})
    return sorted(found, key=lambda one: (-one["size"], one["feature"]))[:SHOWN]


def _moved(before: Column, after: Column, rows: Rows, sample: Rows) -> dict[str, Any] | None:
    then, now = before.numbers()[1], after.numbers()[1]
    if min(len(then), len(now)) >= _FEWEST:
        size = ks(np.sort(then), now)
        if p_value(len(then), len(now), size) > _BY_CHANCE:
            return None
        return {"size": _short(size), "before": _short(then.mean()), "after": _short(now.mean())}
    texts, others = before.texts()[1], after.texts()[1]
    if min(len(texts), len(others)) < _FEWEST:
        return None
    names = distinct(np.concatenate([texts, others]))
    counts = [
        np.bincount(np.searchsorted(names, side), minlength=len(names)) for side in (texts, others)
    ]
    if chi_squared(*counts).p > _BY_CHANCE:
        return None
    shares = [side / side.sum() for side in counts]
    most = int(np.abs(shares[1] - shares[0]).argmax())
    code = int(names[most])
    return {
        "size": _short(abs(shares[1][most] - shares[0][most])),
        "category": rows.texts.get(code) or sample.texts.get(code, ""),
        "before": _short(shares[0][most]),
        "after": _short(shares[1][most]),
    }


NONE_MOVED = "; no feature is seen to have moved with it"


def moved_most(ranked: list[dict[str, Any]], drifting: Sequence[str]) -> str:
    """For a summary. `drifting`: features of which alerts fire, where these rows show none: they
    are few, and see large changes only."""
    if not ranked and drifting:
        more = f" and {len(drifting) - SHOWN} more" if len(drifting) > SHOWN else ""
        return f"; drifting too: {', '.join(drifting[:SHOWN])}{more}"
    if not ranked:
        return NONE_MOVED
    first = ranked[0]
    where = f" {first['category']}" if "category" in first else ""
    before, after = (_shown(first[side]) for side in ("before", "after"))
    return f"; {first['feature']}{where} moved most, {before} -> {after}"


def _shown(value: float) -> str:
    return f"{value:,.0f}" if 10_000 <= abs(value) < 1e9 else f"{value:.4g}"


def _short(value: float) -> float:
    return float(f"{float(value):.4g}")
