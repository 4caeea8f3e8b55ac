"""The form of what crosses the panes topic: checked once, where it comes in.

A right checksum says that these bytes were written, not that a build with our forms wrote them.
What is not of its form is refused here with a name, not by whatever is indexed out of range later.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import Binned
from stream.columns import OTHER, Rows, texts_among
from stream.pane_features import PaneFeatures
from stream.panes import ARRAYS, Counts, FeatureTable, PaneTable
from stream.snapshot import BrokenRecordError

_LIMITS = ("minimum", "maximum")


def fields(body: Any, *types: type) -> list[Any]:
    """The plain values of a record, if they are of exactly these types."""
    if type(body) is not list or tuple(map(type, body)) != types:
        raise BrokenRecordError(f"expected {[t.__name__ for t in types]}")
    return body


def array(value: Any, kind: type, length: int | None = None) -> NDArray[Any]:
    """The array, if it has this type and, where one is given, this length."""
    if not isinstance(value, np.ndarray) or value.dtype != kind:
        raise BrokenRecordError(f"expected an array of {kind.__name__}")
    _must(length is None or len(value) == length, "arrays of one table differ in length")
    return value


def checked_rows(rows: Rows, *, also_shown: frozenset[int] = frozenset()) -> Rows:
    """Rows whose columns are parallel and whose texts are there. Raises BrokenRecordError."""
    length = len(array(rows.pane_end, np.int64))
    array(rows.hash, np.uint64, length)
    for name, column in rows.columns.items():
        _must(type(name) is str, "a column without a name")
        array(column.kind, np.uint8, length)
        array(column.bits, np.uint64, length)
    used = also_shown
    if length and rows.columns:  # all columns in one go: many blocks are small
        kinds = np.concatenate([column.kind for column in rows.columns.values()])
        _must(int(kinds.max()) <= OTHER, "an unknown kind of cell")
        bits = np.concatenate([column.bits for column in rows.columns.values()])
        used = used.union(texts_among(kinds, bits))
    _must(all(type(text) is str for text in rows.texts.values()), "a text that is none")
    _must(used <= rows.texts.keys(), "a text is missing")
    return rows


def checked_counts(value: Any, length: int, total: int) -> Any:
    """Of so many parts of so many rows in all how many each has: some. Raises
    BrokenRecordError."""
    counts = array(value, np.int64, length)
    fits = length and bool((counts > 0).all()) and bool((counts <= total).all())
    _must(bool(fits and int(counts.sum()) == total), "counts that do not fit their rows")
    return counts


def checked_table(table: PaneTable) -> PaneTable:
    """A table whose columns are parallel, in order and within it. Raises BrokenRecordError."""
    ends = array(table.pane_end, np.int64)
    _must(len(ends) > 0 and bool((ends[1:] > ends[:-1]).all()), "pane ends do not rise")
    array(table.rows, np.int64, len(ends))
    array(table.limit, np.uint64, len(ends))
    shown: set[int] = set()
    parts: Iterable[tuple[FeatureTable, int]]
    if isinstance(table.features, PaneFeatures):  # all of them in one
        parts = [(table.features.whole, len(ends) * len(table.features))]
    else:
        parts = [(feature, len(ends)) for feature in table.features.values()]
    _must(all(type(name) is str for name in table.features), "a feature without a name")
    for feature, panes in parts:
        _check_feature(feature, panes)
        shown.update(feature.categories.key.tolist())
    checked_rows(table.sample, also_shown=frozenset(shown))
    sampled = table.sample.pane_end
    nearest = np.minimum(np.searchsorted(ends, sampled), len(ends) - 1)
    _must(bool((ends[nearest] == sampled).all()), "a sample of no pane")
    return table


def _check_feature(feature: FeatureTable, panes: int) -> None:
    for name in ARRAYS:
        array(getattr(feature, name), np.float64 if name in _LIMITS else np.int64, panes)
    for sums in (feature.sums, feature.squares):
        _check_sparse(sums.group, panes, sums)
    for counts, kind in ((feature.buckets, np.int64), (feature.categories, np.uint64)):
        array(counts.key, kind)
        _check_sparse(counts.pane, panes, counts)


def _check_sparse(pane: Any, panes: int, of: Binned | Counts) -> None:
    """Panes within the table, rising; the other two columns parallel to them."""
    length = len(array(pane, np.int64))
    match of:
        case Binned():
            array(of.bin, np.int64, length)
            array(of.amount, np.int64, length)
        case Counts():
            array(of.key, of.key.dtype.type, length)
            array(of.count, np.int64, length)
    if length:
        _must(bool((pane[1:] >= pane[:-1]).all()), "panes of a feature do not rise")
        _must(int(pane[0]) >= 0 and int(pane[-1]) < panes, "a pane beyond the table")


def _must(holds: bool, otherwise: str) -> None:
    if not holds:
        raise BrokenRecordError(otherwise)
