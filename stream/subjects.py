"""Of whom a prediction is: the subject that variants are dealt to, read off a feature.

A model names the feature (`subject`). Predictions of its variants carry the hash of its value until
they mature; their cohort's panes are then sent once more, as trials, with the subject in place of
the prediction's id, so that a row sample keeps all of a subject or nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from stream.columns import ABSENT, FEATURE, NUMBER, TEXT, Column, Group
from stream.event_columns import PredictionColumns
from stream.grouped_rows import GroupedRows
from stream.rules import CHAMPION, SHADOW, Rules

_COLUMN = "subject"  # among the measures of a prediction, on its way to a trial
_NONE = np.zeros(1, np.uint64)
Hashes = NDArray[np.uint64]


def named_by(rules: Rules) -> dict[str, str]:
    """By model the column of the feature that says whom a prediction is of; most name none."""
    return {m: f"{FEATURE}{rule.subject}" for m, rule in rules.models.items() if rule.subject}


def subjects_of(predictions: PredictionColumns, named: Mapping[str, str]) -> Hashes:
    """Of each prediction; 0 where there is none."""
    count = len(predictions.time_ms)
    of_group = [named.get(group[0], "") if is_dealt(group) else "" for group in predictions.groups]
    if not any(of_group):
        return no_subjects(count)
    subjects = np.zeros(count, np.uint64)
    for code, name in enumerate(of_group):
        for shape in predictions.shapes if name else ():
            if name in shape.columns:
                mine = np.flatnonzero(predictions.group[shape.rows] == code)
                subjects[shape.rows[mine]] = _hashed(shape.columns[name].take(mine))
    return subjects


def no_subjects(count: int) -> Hashes:
    """In one cell."""
    return np.broadcast_to(_NONE, count)


def is_dealt(group: Group) -> bool:
    """Whether subjects may be dealt to it."""
    return group[2] not in {CHAMPION, SHADOW}


def _hashed(cells: Column) -> Hashes:
    """Of numbers and texts, never 0; evenly spread (the finaliser of SplitMix64)."""
    with np.errstate(over="ignore"):
        x = cells.bits + cells.kind * np.uint64(0x9E3779B97F4A7C15)
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    x = np.maximum(x ^ (x >> np.uint64(31)), np.uint64(1))
    return np.where((cells.kind == NUMBER) | (cells.kind == TEXT), x, np.uint64(0))


def with_subjects(measures: dict[str, Column], subjects: Hashes) -> dict[str, Column]:
    """The measures of matured predictions, and, where any has one, whom they are of."""
    if (subjects.strides == (0,) and not subjects[:1].any()) or not subjects.any():
        return measures
    kind = np.where(subjects != 0, NUMBER, ABSENT).astype(np.uint8)
    return measures | {_COLUMN: Column(kind, subjects)}


def trial_of(judged: GroupedRows) -> tuple[GroupedRows, GroupedRows | None]:
    """(cohorts, those of variants by subject, if they have any)."""
    rows = judged.rows
    subject = rows.columns.get(_COLUMN)
    if subject is None:
        return judged, None
    kept = {name: column for name, column in rows.columns.items() if name != _COLUMN}
    cohorts = replace(judged, rows=replace(rows, columns=kept))
    dealt = np.array([is_dealt(group) for group in judged.groups], np.bool_)
    known = np.flatnonzero((subject.kind != ABSENT) & dealt[judged.code])
    if not len(known):
        return cohorts, None
    trial = cohorts.take(known)
    return cohorts, replace(trial, rows=replace(trial.rows, hash=subject.bits[known]))
