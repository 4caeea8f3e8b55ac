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

from stream import native, native_parser, typed_columns
from stream.event_columns import OutcomeColumns, PredictionColumns
from stream.events import Records, ToDeadLetters
from stream.familiar import Guess, read_outcomes, read_predictions
from stream.familiar_forms import Forms
from stream.habits import OUTCOMES, PREDICTIONS, Habits
from stream.judgement import HAS_LABEL, HAS_VALUE
from stream.known_texts import KnownTexts
from stream.records import decode_outcomes, decode_predictions
from stream.rules import Rules
from stream.times import UNCERTAIN

Parser = Literal["native", "python"]
PARSER: Parser = "native" if native.IS_BUILT else "python"
"""Which one reads first; what comes out is the same."""

Columns = TypeVar("Columns", PredictionColumns, OutcomeColumns)
Places = NDArray[np.int64]
_forms, _texts = Forms(), KnownTexts()
_said, _true = Habits(PREDICTIONS), Habits(OUTCOMES)
"""Of the batches before: see `familiar`."""


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
        return Usable(typed_columns.prediction_columns(decoded, rules), decoded.dead)

    if PARSER == "python":
        form, read = _forms.latest, None
        if form is not None:
            guess = Guess(form, _said.latest, _texts.among(form.names))
            read = read_predictions(records.values, guess, rules)
            were_so = read is not None and not len(read.asked)
            _texts.meet(guess.known, {} if read is None else read.seen, were_so=were_so)
        _said.meet(records.values, None if read is None else read.asked)
        if form is None or read is None:
            decoded = decode_predictions(records, rules, include_payload=include_payload)
            _forms.meet(decoded.events)
            return Usable(typed_columns.prediction_columns(decoded, rules), decoded.dead)
        columns, asked = typed_columns.familiar_predictions(read, form), read.asked
    else:
        columns, asked = native_parser.prediction_columns(records.values, rules)
    usable = _all_known(columns.group, [rules.knows(group[0]) for group in columns.groups])
    usable &= columns.says_something()
    usable &= columns.time_ms != UNCERTAIN
    return _with_others(records, columns, usable, asked, in_python)


def outcome_columns(
    records: Records, rules: Rules, *, include_payload: bool
) -> Usable[OutcomeColumns]:
    def in_python(part: Records) -> Usable[OutcomeColumns]:
        decoded = decode_outcomes(part, rules, include_payload=include_payload)
        return Usable(typed_columns.outcome_columns(decoded), decoded.dead)

    if PARSER == "python":
        read = read_outcomes(records.values, _true.latest, rules)
        _true.meet(records.values, None if read is None else read.asked)
        if read is None:
            return in_python(records)
        columns, asked = typed_columns.familiar_outcomes(read), read.asked
    else:
        columns, asked = native_parser.outcome_columns(records.values, rules)
    usable = _all_known(columns.model, [rules.knows(model) for model in columns.models])
    usable &= (columns.has & np.uint8(HAS_LABEL | HAS_VALUE)) != 0
    usable &= columns.time_ms != UNCERTAIN
    return _with_others(records, columns, usable, asked, in_python)


def _all_known(code: NDArray[np.int64], are_known: list[bool]) -> NDArray[np.bool_]:
    """Which rows are of what is known, by its code."""
    if all(are_known):
        return np.ones(len(code), np.bool_)
    return np.array(are_known, np.bool_)[code]


def _with_others(
    records: Records,
    columns: Columns,
    usable: NDArray[np.bool_],
    asked: Places,
    in_python: Callable[[Records], Usable[Columns]],
) -> Usable[Columns]:
    """With what the general way makes of the records that were left to it, and of those that are
    not usable."""
    if not usable.all():
        asked = np.sort(np.concatenate([asked, columns.place[~usable]]))
        columns = columns.take(np.flatnonzero(usable))
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
