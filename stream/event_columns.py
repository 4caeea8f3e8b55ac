"""A batch of events as columns: what panes, the join and the id memory take.

Nothing behind this sees an event. A feature's value is a cell (`columns`); predictions that have
the same features, and say the same kinds of things, are the rows of one shape, so that columns
have no holes and take no more than their events did, however many names a batch brings.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.columns import (
    LARGEST_NUMBER,
    NUMBER,
    OTHER,
    TEXT,
    Column,
    Group,
    number_column,
    those,
)
from stream.identity import MODEL, VERSION, Hashes, hash_id
from stream.judgement import HAS_LABEL, HAS_SCORE, HAS_VALUE
from stream.run import Columns, alike

_REVISION_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: distinct revisions give distinct keys
HAS_LATENCY, HAS_FEATURE_SET = 8, 16  # beside the HAS_ flags of `judgement`
FEATURE_SET = "prediction:feature_set"
_CLAIMED = np.uint8(HAS_LABEL | HAS_SCORE | HAS_VALUE)
_FIRST = np.zeros(1, np.intp)
Rows = NDArray[np.intp]
Floats = NDArray[np.float64]
Cell = TypeVar("Cell", bound=np.generic)
Part = TypeVar("Part", Group, str)


class EventColumns(Protocol):
    """Usable events of a batch, in offset order; all arrays have n rows."""

    @property
    def time_ms(self) -> NDArray[np.int64]: ...
    @property
    def place(self) -> Rows:
        """Of the record in its batch."""

    @property
    def hashes(self) -> Hashes:
        """(n, 2), of the prediction ids alone; the first column orders the row sample."""


@dataclass(frozen=True, slots=True, eq=False)
class Said:
    """What predictions say beside their features; numbers are nan where they are not given."""

    has_label: NDArray[np.bool_]
    label: NDArray[np.uint64]  # hash of its text, 0 where there is none
    score: Floats
    value: Floats
    latency_ms: Floats
    feature_set: NDArray[np.uint64] | None = None  # as the label; None: nowhere given

    def given(self) -> NDArray[np.uint8]:
        """Flags: predictions of one shape have the same."""
        given = self.has_label * np.uint8(HAS_LABEL)
        for numbers, flag in (
            (self.score, HAS_SCORE),
            (self.value, HAS_VALUE),
            (self.latency_ms, HAS_LATENCY),
        ):
            given |= ~np.isnan(numbers) * np.uint8(flag)
        if self.feature_set is not None:
            given |= (self.feature_set != 0) * np.uint8(HAS_FEATURE_SET)
        return given

    def is_something(self) -> NDArray[np.bool_]:
        """Whether a label, a score or a value is given."""
        return self.has_label | ~np.isnan(self.score) | ~np.isnan(self.value)

    def claimed(self, given: int) -> Columns:
        """As the join needs them, of rows that all give just this."""
        count = len(self.label)
        none = alike(np.uint64(0), count), alike(np.float64(0), count)
        return {
            "has": alike(np.uint8(given) & _CLAIMED, count),
            "label": self.label if given & HAS_LABEL else none[0],
            "score": self.score if given & HAS_SCORE else none[1],
            "value": self.value if given & HAS_VALUE else none[1],
        }

    def take(self, rows: Rows) -> Said:
        return Said(
            self.has_label[rows],
            self.label[rows],
            self.score[rows],
            self.value[rows],
            self.latency_ms[rows],
            None if self.feature_set is None else self.feature_set[rows],
        )

    def merged(self, others: Said, both: _Both) -> Said:
        return Said(
            both.of(self.has_label, others.has_label),
            both.of(self.label, others.label),
            both.of(self.score, others.score),
            both.of(self.value, others.value),
            both.of(self.latency_ms, others.latency_ms),
            self._sets_merged(others, both),
        )

    def _sets_merged(self, others: Said, both: _Both) -> NDArray[np.uint64] | None:
        if self.feature_set is None and others.feature_set is None:
            return None
        sides = [
            np.zeros(len(said.label), np.uint64) if said.feature_set is None else said.feature_set
            for said in (self, others)
        ]
        return both.of(*sides)

    def measures(self, rows: Rows, given: int) -> dict[str, Column]:
        """Of rows that give just these: a column each, sorted by name."""
        measures = {}
        if given & HAS_FEATURE_SET and self.feature_set is not None:
            kind = np.full(len(rows), TEXT, np.uint8)
            measures[FEATURE_SET] = Column(kind, those(self.feature_set, rows))
        if given & HAS_LABEL:
            kind = np.full(len(rows), TEXT, np.uint8)
            measures["prediction:label"] = Column(kind, those(self.label, rows))
        for name, numbers, flag in (
            ("prediction:latency_ms", self.latency_ms, HAS_LATENCY),
            ("prediction:score", self.score, HAS_SCORE),
            ("prediction:value", self.value, HAS_VALUE),
        ):
            if given & flag:
                cells = those(numbers, rows)
                sane = np.abs(cells) <= LARGEST_NUMBER
                kinds = None if sane.all() else np.where(sane, np.uint8(NUMBER), np.uint8(OTHER))
                measures[name] = number_column(cells, kinds)
        return measures


@dataclass(frozen=True, slots=True, eq=False)
class Shape:
    """Predictions with the same columns: `rows`, ascending, says which they are.

    Columns are sorted by name: `feature:` and `prediction:feature_set`, `label`, `latency_ms`,
    `score`, `value`.
    """

    rows: Rows
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, places: Rows) -> Shape:
        """Of these places among its rows, ascending."""
        if len(places) == len(self):
            return self
        columns = {name: column.take(places) for name, column in self.columns.items()}
        return Shape(self.rows[places], columns)


@dataclass(frozen=True, slots=True, eq=False)
class Segments:
    """What rows say of their segments."""

    code: NDArray[np.int64]  # place in `given`, -1 where nothing is said
    given: list[dict[str, str]]

    def merged(self, others: Segments, both: _Both) -> Segments:
        behind = np.where(others.code < 0, -1, others.code + len(self.given))
        return Segments(both.of(self.code, behind), [*self.given, *others.given])


@dataclass(frozen=True, slots=True, eq=False)
class PredictionColumns:
    time_ms: NDArray[np.int64]
    place: Rows
    hashes: Hashes
    group: NDArray[np.int64]  # code: place in `groups`
    groups: list[Group]
    said: Said
    shapes: list[Shape]
    texts: dict[int, str]  # by their hashes; more of them than the rows have do no harm
    segments: Segments | None = None  # where no model is configured to have any

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: Rows) -> PredictionColumns:
        """These rows, ascending."""
        if len(rows) == len(self):
            return self
        return PredictionColumns(
            self.time_ms[rows],
            self.place[rows],
            self.hashes[rows],
            self.group[rows],
            self.groups,
            self.said.take(rows),
            _taken(self.shapes, rows, len(self)),
            self.texts,
            self.segments and Segments(self.segments.code[rows], self.segments.given),
        )

    def merged(self, others: PredictionColumns, places: Rows) -> PredictionColumns:
        """With rows of the same batch, whose places in it are `places[others.place]`."""
        both = _Both(self.place, places[others.place])
        groups, code = _joined(self.groups, others.groups)
        shapes = [Shape(both.number[shape.rows], shape.columns) for shape in self.shapes]
        behind = both.number[len(self) :]
        shapes += [Shape(behind[shape.rows], shape.columns) for shape in others.shapes]
        return PredictionColumns(
            both.of(self.time_ms, others.time_ms),
            both.place,
            both.of(self.hashes, others.hashes),
            both.of(self.group, code[others.group]),
            groups,
            self.said.merged(others.said, both),
            shapes,
            self.texts | others.texts,
            self.segments and others.segments and self.segments.merged(others.segments, both),
        )

    def keys(self) -> Hashes:
        """Of the join: of (model_id, prediction_id)."""
        return _with_each(self.hashes, [_model_hash(group[0]) for group in self.groups], self.group)

    def identities(self, keys: Hashes) -> Hashes:
        """Of (model_id, model_version, role, prediction_id), from the keys of the join."""
        return _with_each(keys, [_version_hash(*group[1:3]) for group in self.groups], self.group)

    def says_something(self) -> NDArray[np.bool_]:
        """Whether a label, a score or a value is given."""
        if len(self.shapes) == 1:
            return self.said.take(_FIRST).is_something()
        return self.said.is_something()

    def claims(self) -> Columns:
        """As the join needs them."""
        said = self.said
        if len(self.shapes) == 1:
            return said.claimed(int(said.take(_FIRST).given()[0]))
        return {
            "has": said.given() & _CLAIMED,
            "label": said.label,
            "score": _or_zero(said.score),
            "value": _or_zero(said.value),
        }


@dataclass(frozen=True, slots=True, eq=False)
class OutcomeColumns:
    time_ms: NDArray[np.int64]
    place: Rows
    hashes: Hashes
    model: NDArray[np.int64]  # code: place in `models`
    models: list[str]
    revision: NDArray[np.int64]
    retracted: NDArray[np.bool_]
    has: NDArray[np.uint8]  # HAS_LABEL, HAS_VALUE, BINARY, POSITIVE
    label: NDArray[np.uint64]
    value: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, rows: Rows) -> OutcomeColumns:
        """These rows, ascending."""
        if len(rows) == len(self):
            return self
        return OutcomeColumns(
            self.time_ms[rows],
            self.place[rows],
            self.hashes[rows],
            self.model[rows],
            self.models,
            self.revision[rows],
            self.retracted[rows],
            self.has[rows],
            self.label[rows],
            self.value[rows],
        )

    def merged(self, others: OutcomeColumns, places: Rows) -> OutcomeColumns:
        """With rows of the same batch, whose places in it are `places[others.place]`."""
        both = _Both(self.place, places[others.place])
        models, code = _joined(self.models, others.models)
        return OutcomeColumns(
            both.of(self.time_ms, others.time_ms),
            both.place,
            both.of(self.hashes, others.hashes),
            both.of(self.model, code[others.model]),
            models,
            both.of(self.revision, others.revision),
            both.of(self.retracted, others.retracted),
            both.of(self.has, others.has),
            both.of(self.label, others.label),
            both.of(self.value, others.value),
        )

    def keys(self) -> Hashes:
        """Of the join: of (model_id, prediction_id)."""
        return _with_each(self.hashes, [_model_hash(model) for model in self.models], self.model)

    def identities(self, keys: Hashes) -> Hashes:
        """Of (model_id, prediction_id, revision), from the keys of the join."""
        ids = keys.copy()
        ids[:, 0] += self.revision.astype(np.uint64) * _REVISION_STEP
        return ids

    def truths(self) -> Columns:
        """As the join needs them."""
        return {
            "revision": self.revision,
            "retracted": self.retracted,
            "has": self.has,
            "label": self.label,
            "value": self.value,
        }


class _Both:
    """Rows of two parts of a batch, in the order of their places in it."""

    def __init__(self, places: Rows, others: Rows) -> None:
        joined = np.concatenate([places, others])
        self._order = np.argsort(joined)
        self.place = joined[self._order]
        self.number = np.empty(len(joined), np.intp)  # of each row, the others' behind the first
        self.number[self._order] = np.arange(len(joined))

    def of(self, values: NDArray[Cell], others: NDArray[Cell]) -> NDArray[Cell]:
        joined: NDArray[Cell] = np.concatenate([values, others])[self._order]
        return joined


def _joined(parts: list[Part], others: list[Part]) -> tuple[list[Part], NDArray[np.int64]]:
    """(all parts, the place there of each of the others)."""
    codes = {part: code for code, part in enumerate(parts)}
    moved = [codes.setdefault(part, len(codes)) for part in others]
    return list(codes), np.array(moved, np.int64)


def _or_zero(numbers: Floats) -> Floats:
    return np.where(np.isnan(numbers), 0.0, numbers)


def _taken(shapes: Sequence[Shape], rows: Rows, count: int) -> list[Shape]:
    """Of `count` rows these, numbered anew."""
    number = np.full(count, -1)
    number[rows] = np.arange(len(rows))
    taken = []
    for shape in shapes:
        kept = np.flatnonzero(number[shape.rows] >= 0)
        if len(kept):
            columns = {name: column.take(kept) for name, column in shape.columns.items()}
            taken.append(Shape(number[shape.rows[kept]], columns))
    return taken


def _with_each(hashes: Hashes, of_code: Sequence[Hashes], codes: NDArray[np.int64]) -> Hashes:
    """(n, 2): joined with those of their parts; each distinct part was hashed once."""
    if len(of_code) > 1:
        return hashes ^ np.array(of_code, np.uint64).reshape(-1, 2)[codes]
    made: Hashes = np.empty((len(hashes), 2), np.uint64)
    for part in range(
        2 * len(of_code)
    ):  # one column, then the other: to broadcast rows takes longer
        np.bitwise_xor(hashes[:, part], of_code[0][part], out=made[:, part])
    return made


@lru_cache(maxsize=4_096)
def _model_hash(model_id: str) -> Hashes:
    return hash_id(model_id, MODEL)


@lru_cache(maxsize=4_096)
def _version_hash(version: str, role: str) -> Hashes:
    return hash_id(f"{len(version)}:{version}{role}", VERSION)
