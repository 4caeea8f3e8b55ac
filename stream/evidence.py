"""What a person is shown: the recent window of a series beside its reference."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.distance import ks, psi, psi_numeric
from detectors.moments import mean_and_variance
from stream.columns import Column, Rows, concatenate
from stream.panes import WHOLE, FeatureTable, PaneTable
from stream.reference import Reference

_FEWEST = 20  # values below which a distance says nothing
_CATEGORIES_SHOWN = 5


class RecentRows:
    """The row samples of the latest panes: at least `keep` rows where there were as many.

    Rows of a pane whose sample is thinner thin the others too (all below the least limit), so
    the window is a uniform sample of its predictions.
    """

    def __init__(self, keep: int) -> None:
        self._keep = keep
        self._rows: Rows | None = None
        self._ends: NDArray[np.int64] = np.zeros(0, np.int64)
        self._limits: NDArray[np.uint64] = np.zeros(0, np.uint64)

    def add(self, table: PaneTable) -> None:
        parts = [table.sample] if self._rows is None else [self._rows, table.sample]
        self._rows = concatenate(parts)
        self._ends = np.concatenate([self._ends, table.pane_end])
        self._limits = np.concatenate([self._limits, table.limit])

    def trim(self) -> None:
        if self._rows is None or len(self._rows) <= 2 * self._keep:
            return
        first_ms = self._first_end(len(self._rows))
        self._rows = self._rows.between(first_ms, int(self._ends[-1]))
        fresh = self._ends >= first_ms
        self._ends, self._limits = self._ends[fresh], self._limits[fresh]
        self._rows = Rows(
            self._rows.pane_end, self._rows.hash, self._rows.columns, _texts_used(self._rows)
        )

    def _first_end(self, upto: int) -> int:
        """End of the pane that holds the `keep`-th last of the first `upto` rows."""
        assert self._rows is not None
        return int(self._rows.pane_end[max(upto - self._keep, 0)])

    def window(self, since_ms: int, until_end_ms: int) -> Rows | None:
        """Sampled rows of the panes that start at or after `since_ms`, up to this pane's end."""
        if self._rows is None:
            return None
        upto = int(np.searchsorted(self._rows.pane_end, until_end_ms, "right"))
        if not upto:
            return None
        first_ms = max(self._first_end(upto), since_ms + 1)
        inside = (self._ends >= first_ms) & (self._ends <= until_end_ms)
        limit = self._limits[inside].min() if inside.any() else WHOLE
        rows = self._rows.between(first_ms, until_end_ms)
        return rows if limit == WHOLE else rows.take(np.flatnonzero(rows.hash < limit))

    def column(self, name: str) -> Column | None:
        """Of all rows held."""
        return None if self._rows is None else self._rows.columns.get(name)

    def snapshot(self) -> tuple[Rows | None, NDArray[np.int64], NDArray[np.uint64]]:
        return self._rows, self._ends, self._limits

    def restore(
        self, rows: Rows | None, ends: NDArray[np.int64], limits: NDArray[np.uint64]
    ) -> None:
        self._rows, self._ends, self._limits = rows, ends, limits


def _texts_used(rows: Rows) -> dict[int, str]:
    used: set[int] = set()
    for column in rows.columns.values():
        used.update(column.texts()[1].tolist())
    return {code: rows.texts[code] for code in sorted(used)}


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
    """PSI and, of numbers, Kolmogorov-Smirnov, between two row samples."""
    _, before = reference.numbers()
    _, after = current.numbers()
    if min(len(before), len(after)) >= _FEWEST:
        statistic = ks(np.sort(before), after)
        return {"ks": _short(statistic), "psi": _short(psi_numeric(before, after))}
    _, texts_before = reference.texts()
    _, texts_after = current.texts()
    if min(len(texts_before), len(texts_after)) >= _FEWEST:
        names = np.unique(np.concatenate([texts_before, texts_after]))
        counts = [
            np.bincount(np.searchsorted(names, side), minlength=len(names))
            for side in (texts_before, texts_after)
        ]
        return {"psi": _short(psi(counts[0], counts[1]))}
    return {}


def _shape(column: Column, texts: dict[int, str]) -> dict[str, Any]:
    _, numbers = column.numbers()
    if len(numbers):
        # an order statistic, not an interpolation: the value was really there
        p05, p50, p95 = np.quantile(numbers, [0.05, 0.5, 0.95], method="inverted_cdf").tolist()
        return {"p05": _short(p05), "p50": _short(p50), "p95": _short(p95)}
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
