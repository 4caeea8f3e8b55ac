"""Bytes of a fetched batch to columns, and to letters for what cannot be used.

Two parsers fill the same columns. The native one is there where the package was built with a
compiler, and reads what it is certain about; the records that it is not, and all where it is not
there, are read in Python, which alone knows what is refused and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream import native_parser, typed_columns
from stream.event_columns import OutcomeColumns, PredictionColumns
from stream.events import Records, ToDeadLetters
from stream.records import decode_outcomes, decode_predictions
from stream.rules import Rules

Parser = Literal["native", "python"]
PARSER: Parser = "native" if native_parser.IS_BUILT else "python"
"""Which one reads first; what comes out is the same."""

Columns = TypeVar("Columns", PredictionColumns, OutcomeColumns)
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Usable(Generic[Columns]):
    """The usable events of a batch, and the letters for the others."""

    columns: Columns
    dead: list[ToDeadLetters]


def prediction_columns(
    records: Records, rules: Rules, *, include_payload: bool
) -> Usable[PredictionColumns]:
    def in_python(part: Records) -> Usable[PredictionColumns]:
        decoded = decode_predictions(part, rules, include_payload=include_payload)
        return Usable(typed_columns.prediction_columns(decoded), decoded.dead)

    if PARSER == "python":
        return in_python(records)
    columns, asked = native_parser.prediction_columns(records.values, rules)
    known = np.array([rules.knows(group[0]) for group in columns.groups], np.bool_)
    return _with_others(records, columns, known[columns.group], asked, in_python)


def outcome_columns(
    records: Records, rules: Rules, *, include_payload: bool
) -> Usable[OutcomeColumns]:
    def in_python(part: Records) -> Usable[OutcomeColumns]:
        decoded = decode_outcomes(part, rules, include_payload=include_payload)
        return Usable(typed_columns.outcome_columns(decoded), decoded.dead)

    if PARSER == "python":
        return in_python(records)
    columns, asked = native_parser.outcome_columns(records.values, rules)
    known = np.array([rules.knows(model) for model in columns.models], np.bool_)
    return _with_others(records, columns, known[columns.model], asked, in_python)


def _with_others(
    records: Records,
    columns: Columns,
    known: NDArray[np.bool_],
    asked: Places,
    in_python: Callable[[Records], Usable[Columns]],
) -> Usable[Columns]:
    """With what Python makes of the records that were left to it, and of those whose model is not
    known."""
    if not known.all():
        asked = np.sort(np.concatenate([asked, columns.place[~known]]))
        columns = columns.take(np.flatnonzero(known))
    if not len(asked):
        return Usable(columns, [])
    places = asked.tolist()
    others = in_python(
        Records(
            records.topic,
            records.partition,
            [records.offsets[place] for place in places],
            [records.timestamps_ms[place] for place in places],
            [records.values[place] for place in places],
        )
    )
    return Usable(columns.merged(others.columns, asked), others.dead)
