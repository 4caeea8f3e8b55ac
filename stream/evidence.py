"""What a person is shown: the recent window of a series beside its reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from detectors.distance import (
    chi_squared,
    jensen_shannon,
    ks,
    psi,
    quantile_counts,
    wasserstein,
)
from detectors.moments import mean_and_variance
from detectors.ordered import distinct
from stream.columns import Column, Rows
from stream.panes import FeatureTable
from stream.reference import Reference

_FEWEST = 20  # values below which a distance says nothing
_CATEGORIES_SHOWN = 5


def reference_evidence(reference: Reference, name: str) -> dict[str, Any]:
    table = reference.feature(name)
    if table is None:
        return {"count": reference.count}
    shown: dict[str, Any] = {"count": reference.count, **_rates(table, reference.count)}
    if table.number[0]:
        mean, variance = mean_and_variance(table.number, table.sums, table.squares)
        shown |= {"mean": _short(mean[0]), "std": _short(np.sqrt(variance[0]))}
    sample = reference.table.sample.columns.get(name)
    if sample is not None:
        shown |= _shape(sample, reference.table.texts)
    return shown


def current_evidence(window: Rows | None, name: str, reference: Reference | None) -> dict[str, Any]:
    """Of the sampled rows of the window; with PSI and KS where there is a sealed reference."""
    column = None if window is None else window.columns.get(name)
    if window is None or column is None or not column.kind.any():  # absent in every row
        return {"sampled": 0 if window is None else len(window)}
    shown: dict[str, Any] = {"sampled": len(window)}
    shown["null_rate"] = _short(float(np.mean(column.kind == 1)))
    _, numbers = column.numbers()
    if len(numbers):
        shown |= {"mean": _short(numbers.mean()), "std": _short(numbers.std())}
    shown |= _shape(column, window.texts)
    frozen = None if reference is None else reference.table.sample.columns.get(name)
    if frozen is not None:
        shown |= distances(frozen, column)
    return shown


def distances(reference: Column, current: Column) -> dict[str, float]:
    """Between two row samples: of numbers PSI, KS, Jensen-Shannon and Wasserstein (in standard
    deviations of the reference); of texts PSI, Jensen-Shannon and the p of chi²."""
    _, before = reference.numbers()
    _, after = current.numbers()
    if min(len(before), len(after)) >= _FEWEST:
        spread = float(before.std())
        ordered, after = np.sort(before), np.sort(after)
        binned = quantile_counts(ordered, after)
        found = {
            "jensen_shannon": jensen_shannon(*binned),
            "ks": ks(ordered, after),
            "psi": psi(*binned),
        }
        if spread > 0.0:
            found["wasserstein"] = wasserstein(ordered, after) / spread
        return {name: _short(value) for name, value in found.items()}
    _, texts_before = reference.texts()
    _, texts_after = current.texts()
    if min(len(texts_before), len(texts_after)) >= _FEWEST:
        names = distinct(np.concatenate([texts_before, texts_after]))
        counts = [
            np.bincount(np.searchsorted(names, side), minlength=len(names))
            for side in (texts_before, texts_after)
        ]
        found = {
            "chi2": chi_squared(*counts).p,
            "jensen_shannon": jensen_shannon(*counts),
            "psi": psi(*counts),
        }
        return {name: _short(value) for name, value in found.items()}
    return {}


def _shape(column: Column, texts: dict[int, str]) -> dict[str, Any]:
    _, numbers = column.numbers()
    if len(numbers):
        # order statistics, no interpolation: the values were really there
        ordered = np.sort(numbers)
        places = {f"p{q:02}": max(math.ceil(len(ordered) * (q / 100) - 1), 0) for q in (5, 50, 95)}
        return {name: _short(ordered[place]) for name, place in places.items()}
    _, hashes = column.texts()
    if not len(hashes):
        return {}
    codes, count = np.unique(hashes, return_counts=True)
    top = np.lexsort((codes, -count))[:_CATEGORIES_SHOWN]
    return {"shares": {texts[int(codes[i])]: _short(count[i] / len(hashes)) for i in top}}


def _rates(table: FeatureTable, rows: int) -> dict[str, float]:
    return {
        "null_rate": _short(table.null[0] / rows),
        "absent_rate": _short(1 - table.present[0] / rows),
    }


def _short(value: float) -> float:
    """Six significant digits: for people."""
    return float(f"{float(value):.6g}")
