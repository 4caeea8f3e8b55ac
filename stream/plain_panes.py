"""Rows and tables of panes as plain containers and arrays: for the wire, and for what is stored.

Two forms: with arrays for each feature, which is what states and references have (the id of a
reference is the hash of it); and *together*, a few arrays for all features, which is what crosses
the panes topic: an array costs more there than its numbers, and integers take no more bytes than
the largest of them needs.
"""

from __future__ import annotations

from sys import intern
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.exact_sum import Binned
from stream.columns import Column, Rows, texts_among
from stream.pane_features import PaneFeatures
from stream.panes import ARRAYS, Counts, FeatureTable, PaneTable
from stream.snapshot import BrokenRecordError

_WORTH_NARROWING = 128  # integers: fewer cost more to look at than to send
_NARROW = (np.dtype(np.int8), np.dtype(np.int16), np.dtype(np.int32))


def rows_to_plain(rows: Rows, used: frozenset[int] = frozenset()) -> dict[str, Any]:
    """`used`: texts to send along beside those of the rows themselves."""
    columns = {name: [c.kind, c.bits] for name, c in rows.columns.items()}
    if rows.columns:
        kinds = np.concatenate([c.kind for c in rows.columns.values()])
        bits = np.concatenate([c.bits for c in rows.columns.values()])
        used = used.union(texts_among(kinds, bits))
    texts = {code: rows.texts[code] for code in sorted(used)}
    return {"end": rows.pane_end, "hash": rows.hash, "columns": columns, "texts": texts}


def rows_from_plain(plain: dict[str, Any]) -> Rows:
    columns = {name: Column(*cells) for name, cells in plain["columns"].items()}
    return Rows(plain["end"], plain["hash"], columns, plain["texts"])


def table_to_plain(table: PaneTable) -> dict[str, Any]:
    features = {}
    kept: set[int] = set()
    for name, f in table.features.items():
        kept.update(f.categories.key.tolist())
        features[name] = feature_to_plain(f)
    return {
        "end": table.pane_end,
        "rows": table.rows,
        "limit": table.limit,
        "features": features,
        "sample": rows_to_plain(table.sample, frozenset(kept)),
    }


def table_from_plain(plain: dict[str, Any]) -> PaneTable:
    features = {name: feature_from_plain(parts) for name, parts in plain["features"].items()}
    sample = rows_from_plain(plain["sample"])
    return PaneTable(plain["end"], plain["rows"], features, sample, plain["limit"])


def feature_from_plain(parts: list[Any]) -> FeatureTable:
    arrays, sums, squares, buckets, categories = parts
    return FeatureTable(
        **dict(zip(ARRAYS, arrays, strict=True)),
        sums=Binned(*sums),
        squares=Binned(*squares),
        buckets=Counts(*buckets),
        categories=Counts(*categories),
    )


def feature_to_plain(f: FeatureTable) -> list[Any]:
    return [
        [getattr(f, array) for array in ARRAYS],
        [f.sums.group, f.sums.bin, f.sums.amount],
        [f.squares.group, f.squares.bin, f.squares.amount],
        [f.buckets.pane, f.buckets.key, f.buckets.count],
        [f.categories.pane, f.categories.key, f.categories.count],
    ]


# -- together


def rows_together(rows: Rows, used: frozenset[int] = frozenset()) -> dict[str, Any]:
    """`used`: texts to send along beside those of the rows themselves."""
    columns = rows.columns.values()
    kinds = _joined([c.kind for c in columns], np.uint8)
    bits = _joined([c.bits for c in columns], np.uint64)
    used = used.union(texts_among(kinds, bits))
    texts = {code: rows.texts[code] for code in sorted(used)}
    names = list(rows.columns)
    return {"end": rows.pane_end, "hash": rows.hash, "names": names, "kinds": kinds, "bits": bits,
            "texts": texts}  # fmt: skip


def rows_apart(plain: dict[str, Any]) -> Rows:
    names, kinds, bits, n = _names(plain), plain["kinds"], plain["bits"], len(plain["end"])
    if len(kinds) != n * len(names) or len(bits) != len(kinds):
        raise BrokenRecordError("columns of rows do not fit")
    columns = {
        name: Column(kinds[n * i : n * (i + 1)], bits[n * i : n * (i + 1)])
        for i, name in enumerate(names)
    }
    return Rows(plain["end"], plain["hash"], columns, plain["texts"])


def _names(plain: dict[str, Any]) -> list[str]:
    """Once each, however many models have the same."""
    names = plain["names"]
    if type(names) is not list or len({*names}) != len(names):
        raise BrokenRecordError("expected names, each once")
    return [*map(intern, names)]


def _joined(parts: list[Any], kind: type) -> Any:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def table_together(table: PaneTable) -> dict[str, Any]:
    features = PaneFeatures.of(table.features, len(table))
    kept = frozenset(features.whole.categories.key.tolist())
    return {
        "end": table.pane_end,
        "rows": table.rows,
        "limit": table.limit,
        "names": list(features.names),
        "whole": _narrowed(feature_to_plain(features.whole)),
        "sample": rows_together(table.sample, kept),
    }


def table_apart(plain: dict[str, Any]) -> PaneTable:
    names = _names(plain)
    whole = feature_from_plain(_widened(plain["whole"]))
    features = PaneFeatures(names, len(plain["end"]), whole)
    return PaneTable(
        plain["end"], plain["rows"], features, rows_apart(plain["sample"]), plain["limit"]
    )


def _narrowed(parts: list[Any]) -> list[Any]:
    return [[_narrow(array) for array in arrays] for arrays in parts]


def _narrow(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype != np.int64 or len(array) < _WORTH_NARROWING:
        return array
    low, high = int(array.min()), int(array.max())
    for kind in (np.int8, np.int16, np.int32):
        if np.iinfo(kind).min <= low and high <= np.iinfo(kind).max:
            return array.astype(kind)
    return array


def _widened(parts: list[Any]) -> list[Any]:
    """What is no array is left for who checks the table."""
    return [[_wide(array) for array in arrays] for arrays in parts]


def _wide(array: Any) -> Any:
    is_narrow = isinstance(array, np.ndarray) and array.dtype in _NARROW
    return array.astype(np.int64) if is_narrow else array
