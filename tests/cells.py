"""Columns of features for tests, with holes where a row lacks one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.columns import ABSENT, Column, column, constant_column


def feature_columns(
    features: Sequence[dict[str, Any]], prefix: str, texts: dict[int, str]
) -> dict[str, Column]:
    """A column per feature name met, sorted by name; a feature a row lacks is ABSENT there."""
    columns = {}
    for name in sorted(set().union(*features)):
        having = [i for i, row in enumerate(features) if name in row]
        cells = column([features[i][name] for i in having], texts)
        made = constant_column(ABSENT, len(features))
        made.kind[having], made.bits[having] = cells.kind, cells.bits
        columns[f"{prefix}{name}"] = Column(made.kind, made.bits)
    return columns
