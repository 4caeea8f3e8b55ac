"""Both parsers on the same records. In CI the native one has to be there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from stream import native, record_columns
from stream.columns import TEXT
from stream.event_columns import OutcomeColumns, PredictionColumns
from stream.events import Records
from stream.record_columns import Usable, outcome_columns, prediction_columns
from stream.rules import Rules
from tests.streams import Side

needs_the_native_parser = pytest.mark.skipif(
    not native.IS_BUILT and os.environ.get("CI") != "true",
    reason="the native parser was not built: no compiler",
)


def told(usable: Usable[Any]) -> list[Any]:
    """Everything of a batch, row by row, in an order of its own."""
    columns = usable.columns
    letters = [effect.value for effect in usable.dead]
    rows = zip(
        columns.place.tolist(), columns.time_ms.tolist(), columns.hashes.tolist(), strict=True
    )
    of_each = list(
        _predictions(columns) if isinstance(columns, PredictionColumns) else _outcomes(columns)
    )
    return [*zip(rows, of_each, strict=True), letters]


def _predictions(columns: PredictionColumns) -> Iterator[Any]:
    cells: list[dict[str, Any]] = [{} for _ in range(len(columns))]
    for shape in columns.shapes:
        assert (np.diff(shape.rows) > 0).all()
        assert list(shape.columns) == sorted(shape.columns)
        for name, column in shape.columns.items():
            for row, kind, bits in zip(shape.rows, column.kind, column.bits, strict=True):
                text = columns.texts[int(bits)] if kind == TEXT else None
                cells[row][name] = (int(kind), int(bits), text)
    claims = columns.claims()
    segments = columns.segments
    for row, code in enumerate(columns.group.tolist()):
        of_join = [claims[name][row : row + 1].tobytes() for name in sorted(claims)]
        segment = None
        if segments is not None and segments.code[row] >= 0:
            segment = segments.given[int(segments.code[row])]
        yield columns.groups[code], sorted(cells[row].items()), of_join, segment


def _outcomes(columns: OutcomeColumns) -> Iterator[Any]:
    truths = columns.truths()
    for row, code in enumerate(columns.model.tolist()):
        yield (
            columns.models[code],
            [truths[name][row : row + 1].tobytes() for name in sorted(truths)],
        )


def both(batch: Records, side: Side, rules: Rules) -> tuple[list[Any], list[Any]]:
    read = prediction_columns if side == "predictions" else outcome_columns
    found = []
    for parser in ("native", "python"):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(record_columns, "PARSER", parser)
            found.append(told(read(batch, rules, include_payload=True)))
    return found[0], found[1]


class Called:
    """An extension, and which of its functions were asked for."""

    def __init__(self, extension: Any) -> None:
        self._extension = extension
        self.names: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        self.names.add(name)
        return getattr(self._extension, name)
