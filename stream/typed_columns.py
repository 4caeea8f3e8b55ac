"""Typed events as columns, in Python and numpy: the path that is always there."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from stream.columns import Column, column, numbers_of, text_hash, text_shown
from stream.event_columns import OutcomeColumns, PredictionColumns, Rows, Said, Shape
from stream.events import Label, Outcome, Prediction
from stream.identity import hash_ids
from stream.judgement import HAS_VALUE, label_flags, label_text
from stream.records import Decoded

Features = Sequence[dict[str, Any]]
Value = TypeVar("Value", bound=Hashable)
_of_prediction = attrgetter(
    *("prediction_id", "model_id", "model_version", "role", "features", "latency_ms"),
    *("prediction.label", "prediction.score", "prediction.value"),
)
_of_outcome = attrgetter(
    *("prediction_id", "model_id", "revision", "retracted", "actual.label", "actual.value")
)


def prediction_columns(decoded: Decoded[Prediction]) -> PredictionColumns:
    """O(cells), and some microseconds for each column of each shape."""
    parts = list(zip(*map(_of_prediction, decoded.events), strict=True)) or [()] * 9
    ids, models, versions, roles, features, latencies, labels, scores, values = parts
    group, groups = _coded(zip(models, versions, roles, strict=True))
    label, of_label = _coded(_label_texts(labels))
    said = Said(
        has_label=np.array([text is not None for text in of_label], np.bool_)[label],
        label=_hashes(of_label)[label],
        score=numbers_of(scores),
        value=numbers_of(values),
        latency_ms=numbers_of(latencies),
    )
    texts = {(code := text_hash(t)): text_shown(t, code) for t in of_label if t is not None}
    return PredictionColumns(
        decoded.time_ms,
        decoded.place,
        hash_ids(ids),
        group,
        [(model, version, role, "") for model, version, role in groups],
        said,
        list(_shapes(features, said, texts)),
        texts,
    )


def outcome_columns(decoded: Decoded[Outcome]) -> OutcomeColumns:
    """O(n)."""
    parts = list(zip(*map(_of_outcome, decoded.events), strict=True)) or [()] * 6
    ids, models, revisions, retracted, labels, values = parts
    model, of_model = _coded(models)
    label, of_label = _coded(_label_texts(labels))
    flags = [0 if text is None else label_flags(text) for text in of_label]
    value = numbers_of(values)
    return OutcomeColumns(
        decoded.time_ms,
        decoded.place,
        hash_ids(ids),
        model,
        of_model,
        revision=np.array(revisions, np.int64),
        retracted=np.array(retracted, np.bool_),
        has=np.array(flags, np.uint8)[label] | ~np.isnan(value) * np.uint8(HAS_VALUE),
        label=_hashes(of_label)[label],
        value=np.where(np.isnan(value), 0.0, value),
    )


def _coded(values: Iterable[Value]) -> tuple[NDArray[np.int64], list[Value]]:
    """(codes, what each code stands for), in the order in which they come."""
    values = list(values)
    distinct = list(dict.fromkeys(values))
    if len(distinct) == 1:
        return np.zeros(len(values), np.int64), distinct
    codes = {value: code for code, value in enumerate(distinct)}
    return np.fromiter(map(codes.__getitem__, values), np.int64, len(values)), distinct


def _label_texts(labels: Sequence[Label | None]) -> Sequence[str | None]:
    """One text for labels that mean the same: 1 and "1" do, 1 and true do not."""
    types = set(map(type, labels))
    if types <= {str, type(None)}:
        return labels  # type: ignore[return-value]
    if types == {int}:
        return list(map(str, labels))
    return [None if label is None else label_text(label) for label in labels]


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
        f"feature:{name}": column(cells[name], texts) for name in sorted(cells)
    }
    return Shape(rows, columns | said.measures(rows, given))
