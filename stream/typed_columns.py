"""Typed events as columns, in Python and numpy: the path that is always there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from math import prod
from operator import attrgetter
from types import NoneType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.columns import (
    FEATURE,
    Column,
    column,
    numbers_of,
    text_hash,
    text_shown,
)
from stream.event_columns import OutcomeColumns, PredictionColumns, Rows, Said, Segments, Shape
from stream.events import Label, Outcome, Prediction
from stream.familiar import OF_OUTCOMES, Read, taken_apart
from stream.familiar_forms import Form
from stream.gathered_fields import Coded
from stream.identity import hash_ids
from stream.judgement import HAS_VALUE, label_flags, label_text
from stream.records import Decoded
from stream.rules import Rules

Features = Sequence[dict[str, Any]]
_MOST_TOGETHER = 1 << 16  # combinations of a model, a version and a role
Value = TypeVar("Value", bound=Hashable)
_of_prediction = attrgetter(
    *("prediction_id", "model_id", "model_version", "role", "features", "latency_ms"),
    "feature_set",
    *("prediction.label", "prediction.score", "prediction.value"),
)


def prediction_columns(decoded: Decoded[Prediction], rules: Rules) -> PredictionColumns:
    """O(cells), and some microseconds for each column of each shape."""
    parts = list(zip(*map(_of_prediction, decoded.events), strict=True)) or [()] * 10
    *parts, labels, scores, values = parts
    ids, models, versions, roles, features, latencies, sets = parts
    of_said = (numbers_of(latencies), sets, labels, numbers_of(scores), numbers_of(values))
    said, texts = _said(*of_said)
    shapes = list(_shapes(features, said, texts))
    group, groups = _coded(zip(models, versions, roles, strict=True))
    segments = [event.segment for event in decoded.events] if rules.has_segments else None
    return PredictionColumns(
        decoded.time_ms,
        decoded.place,
        hash_ids(ids),
        group,
        [(model, version, role, "") for model, version, role in groups],
        said,
        shapes,
        texts,
        None if segments is None else _segments(segments),
    )


def familiar_predictions(read: Read, form: Form) -> PredictionColumns:
    """The same of predictions that all have this form; times may be uncertain."""
    fields = read.fields
    said, texts = _said(
        fields["latency_ms"],
        fields["feature_set"],
        *(fields[f"prediction.{name}"] for name in ("label", "score", "value")),
    )
    cells = {name: fields[f"features.{form.field(i)}"] for i, name in enumerate(form.names)}
    ordered = {f"{FEATURE}{name}": cells[name] for name in sorted(cells)}
    given, shapes = said.given(), []
    for code in distinct(given).tolist():
        rows = np.flatnonzero(given == code)
        some = ordered
        if len(rows) < len(given):
            some = {name: one.take(rows) for name, one in ordered.items()}
        shapes.append(Shape(rows, some | said.measures(rows, code)))
    group, groups = _coded_together([fields[n] for n in ("model_id", "model_version", "role")])
    return PredictionColumns(
        read.time_ms,
        read.place,
        fields["prediction_id"],
        group,
        [(model, version, role, "") for model, version, role in groups],
        said,
        shapes,
        read.texts | texts,
        _segments(fields["segment"]) if "segment" in fields else None,
    )


def _segments(given: Sequence[dict[str, str] | None]) -> Segments:
    code, distinct = _coded(tuple(one.items()) if one else None for one in given)
    places = np.arange(len(distinct))
    places[[one is None for one in distinct]] = -1
    return Segments(places[code], [dict(one or ()) for one in distinct])


def _coded_together(parts: Sequence[Coded]) -> tuple[NDArray[np.int64], list[Any]]:
    """As `_coded`, of tuples with one value of each part."""
    if all(len(part.distinct) == 1 for part in parts):
        return parts[0].code, [tuple(part.distinct[0] for part in parts)]
    size = prod(len(part.distinct) for part in parts)
    if size > _MOST_TOGETHER:
        values = [map(part.distinct.__getitem__, part.code.tolist()) for part in parts]
        return _coded(zip(*values, strict=True))
    together = np.ravel_multi_index(
        tuple(part.code for part in parts), tuple(len(part.distinct) for part in parts)
    )
    first = np.full(size, -1)
    first[together[::-1]] = np.arange(len(together))[::-1]  # the last one that is set stays
    rows = np.sort(first[first >= 0])
    place = np.empty(size, np.int64)
    place[together[rows]] = np.arange(len(rows))
    distinct_ones = [tuple(part.distinct[part.code[row]] for part in parts) for row in rows]
    return place[together], distinct_ones


def _said(
    latency_ms: NDArray[np.float64],
    feature_set: Sequence[str | None] | Coded,
    label: Sequence[Label | None] | Coded,
    score: NDArray[np.float64],
    value: NDArray[np.float64],
) -> tuple[Said, dict[int, str]]:
    """What predictions say, and the texts of their labels and feature sets."""
    codes, of_label = _coded_labels(label)
    of_row, sets = _coded(feature_set)
    said = Said(
        has_label=np.array([text is not None for text in of_label], np.bool_)[codes],
        label=_hashes(of_label)[codes],
        score=score,
        value=value,
        latency_ms=latency_ms,
        feature_set=_hashes(sets)[of_row] if any(text is not None for text in sets) else None,
    )
    texts = [text for text in (*of_label, *sets) if text is not None]
    return said, {(code := text_hash(t)): text_shown(t, code) for t in texts}


def outcome_columns(decoded: Decoded[Outcome]) -> OutcomeColumns:
    """O(n)."""
    fields = taken_apart(decoded.events, OF_OUTCOMES)
    hashed = {
        "prediction_id": hash_ids(fields["prediction_id"]),
        "actual.value": numbers_of(fields["actual.value"]),
    }
    return _outcomes(fields | hashed, decoded.time_ms, decoded.place)


def familiar_outcomes(read: Read) -> OutcomeColumns:
    """The same; times may be uncertain."""
    return _outcomes(read.fields, read.time_ms, read.place)


def _outcomes(fields: Mapping[str, Any], time_ms: NDArray[np.int64], place: Rows) -> OutcomeColumns:
    model, of_model = _coded(fields["model_id"])
    label, of_label = _coded_labels(fields["actual.label"])
    flags = [0 if text is None else label_flags(text) for text in of_label]
    value = fields["actual.value"]
    return OutcomeColumns(
        time_ms,
        place,
        fields["prediction_id"],
        model,
        of_model,
        revision=np.asarray(fields["revision"], np.int64),
        retracted=np.asarray(fields["retracted"], np.bool_),
        has=np.array(flags, np.uint8)[label] | ~np.isnan(value) * np.uint8(HAS_VALUE),
        label=_hashes(of_label)[label],
        value=np.where(np.isnan(value), 0.0, value),
    )


def _coded(values: Iterable[Value] | Coded) -> tuple[NDArray[np.int64], list[Value]]:
    """(codes, what each code stands for), in the order in which they come."""
    if isinstance(values, Coded):
        return values.code, values.distinct
    values = list(values)
    if len(set(values)) == 1:
        return np.zeros(len(values), np.int64), values[:1]
    distinct = list(dict.fromkeys(values))
    codes = {value: code for code, value in enumerate(distinct)}
    return np.fromiter(map(codes.__getitem__, values), np.int64, len(values)), distinct


def _coded_labels(
    labels: Sequence[Label | None] | Coded,
) -> tuple[NDArray[np.int64], list[str | None]]:
    """Codes of labels, and one text for those that mean the same: 1 and "1" do, 1 and true do
    not."""
    types = {str} if isinstance(labels, Coded) else set(map(type, labels))
    if isinstance(labels, Coded) or types <= {str, NoneType} or types == {int}:
        codes, distinct = _coded(labels)
        return codes, [None if label is None else str(label) for label in distinct]
    return _coded([None if label is None else label_text(label) for label in labels])


def _hashes(texts: list[str | None]) -> NDArray[np.uint64]:
    return np.array([0 if text is None else text_hash(text) for text in texts], np.uint64)


def _shapes(features: Features, said: Said, texts: dict[int, str]) -> Iterator[Shape]:
    """Texts met are added to `texts`."""
    given = said.given()
    orders = list(map(tuple, features))
    if len(set(orders)) == 1 and not (given != given[0]).any():
        rows = np.arange(len(features))
        cells = zip(*map(dict.values, features), strict=True)
        yield _shape(rows, dict(zip(orders[0], cells, strict=True)), said, int(given[0]), texts)
        return
    alike: dict[tuple[frozenset[str], int], list[int]] = {}
    for row, key in enumerate(zip(map(frozenset, orders), given.tolist(), strict=True)):
        alike.setdefault(key, []).append(row)
    for (names, of_all), places in alike.items():
        columns = {name: [features[row][name] for row in places] for name in names}
        yield _shape(np.array(places), columns, said, of_all, texts)


def _shape(
    rows: Rows, cells: Mapping[str, Sequence[Any]], said: Said, given: int, texts: dict[int, str]
) -> Shape:
    columns: dict[str, Column] = {
        f"{FEATURE}{name}": column(cells[name], texts) for name in sorted(cells)
    }
    return Shape(rows, columns | said.measures(rows, given))
