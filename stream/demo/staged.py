"""What the demo stages on the car-loan stream beside its own drift: two failures of a pipeline.

Before the drift a feature is null in three of ten predictions, for three and a half days; behind
it outcomes begin to come three times as late. The data itself has neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.random import default_rng

NULL_FEATURE = "debt_to_income_ratio"
NULL_ROWS = range(50_000, 50_600)
NULL_SHARE = 0.3
LATER_ROW = 88_000
LATER_FACTOR = 3.0


def with_nulls(values: list[Any], rows: npt.NDArray[np.int64], seed: int) -> list[Any]:
    """Of the feature in these rows."""
    drawn = default_rng([seed, 1]).random(len(NULL_ROWS))
    null = {row for row, one in zip(NULL_ROWS, drawn, strict=True) if one < NULL_SHARE}
    if null.isdisjoint(rows.tolist()):
        return values
    return [None if row in null else v for row, v in zip(rows.tolist(), values, strict=True)]


def later(delay_ms: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Delays of all rows."""
    is_later = np.arange(len(delay_ms)) >= LATER_ROW
    return np.where(is_later, delay_ms * LATER_FACTOR, delay_ms)
