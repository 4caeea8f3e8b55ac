"""Bytes of a fetched batch to columns, and to letters for what cannot be used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

from stream import typed_columns
from stream.event_columns import OutcomeColumns, PredictionColumns
from stream.events import Records, ToDeadLetters
from stream.records import decode_outcomes, decode_predictions
from stream.rules import Rules

Columns = TypeVar("Columns", PredictionColumns, OutcomeColumns)


@dataclass(frozen=True, slots=True)
class Usable(Generic[Columns]):
    """The usable events of a batch, and the letters for the others."""

    columns: Columns
    dead: list[ToDeadLetters]


def prediction_columns(
    records: Records, rules: Rules, *, include_payload: bool
) -> Usable[PredictionColumns]:
    decoded = decode_predictions(records, rules, include_payload=include_payload)
    return Usable(typed_columns.prediction_columns(decoded), decoded.dead)


def outcome_columns(
    records: Records, rules: Rules, *, include_payload: bool
) -> Usable[OutcomeColumns]:
    decoded = decode_outcomes(records, rules, include_payload=include_payload)
    return Usable(typed_columns.outcome_columns(decoded), decoded.dead)
