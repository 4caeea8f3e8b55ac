"""What one merged pane must say of its rows, counted one cell at a time with exact fractions."""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import xxhash

Cell = Any  # number, text, true or false, null, list or object
SHOWN = 64  # characters of a category's text that are kept to show it
LARGEST = 1e100  # beyond it a number counts as `other`
SMALLEST = 1e-100  # closer to 0 a number is 0


@dataclass
class FeatureTally:
    number: int = 0
    text: int = 0
    null: int = 0
    other: int = 0
    minimum: float | None = None
    maximum: float | None = None
    total: Fraction = Fraction(0)
    squares: Fraction = Fraction(0)
    buckets: Counter[int] = field(default_factory=Counter)
    categories: dict[str, int] = field(default_factory=dict)


@dataclass
class PaneTally:
    rows: int
    features: dict[str, FeatureTally]
    sample: list[int]


def hash_of(text: str) -> int:
    return xxhash.xxh3_64_intdigest(text.encode())


def row_hash_of(prediction_id: str) -> int:
    """The first eight bytes of the 128-bit hash that identities are known by."""
    return xxhash.xxh3_128_intdigest(prediction_id.encode()) >> 64


def bucket_of(value: float) -> int:
    """Sign, exponent and the first five bits of the mantissa; 1 is the smallest above zero."""
    if value == 0:
        return 0
    bits: int = struct.unpack("<Q", struct.pack("<d", abs(value)))[0]
    return ((bits >> 47) + 1) * (1 if value > 0 else -1)


def tally(
    rows: list[tuple[str, dict[str, Cell]]], pane_rows: int, max_categories: int
) -> PaneTally:
    """rows: (prediction id, cells by column name)."""
    names = {name for _, cells in rows for name in cells}
    return PaneTally(
        rows=len(rows),
        features={
            name: _feature([cells[name] for _, cells in rows if name in cells], max_categories)
            for name in names
        },
        sample=sorted(row_hash_of(prediction_id) for prediction_id, _ in rows)[:pane_rows],
    )


def _feature(cells: list[Cell], max_categories: int) -> FeatureTally:
    found = FeatureTally()
    texts: Counter[str] = Counter()
    for cell in cells:
        if cell is None:
            found.null += 1
        elif isinstance(cell, str):
            found.text += 1
            texts[cell] += 1
        elif isinstance(cell, int | float) and abs(cell) <= LARGEST:
            _add_number(found, float(cell) if abs(cell) >= SMALLEST else 0.0)
        else:
            found.other += 1
    kept = sorted(texts, key=hash_of)[:max_categories]
    found.categories = {shown(text): texts[text] for text in kept}
    return found


def shown(text: str) -> str:
    """A long text is cut and tells itself from others by its hash."""
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 18]}…{hash_of(text):016x}"


def _add_number(found: FeatureTally, value: float) -> None:
    found.number += 1
    found.minimum = value if found.minimum is None else min(found.minimum, value)
    found.maximum = value if found.maximum is None else max(found.maximum, value)
    found.total += Fraction(value)
    found.squares += Fraction(value) ** 2
    found.buckets[bucket_of(value)] += 1
