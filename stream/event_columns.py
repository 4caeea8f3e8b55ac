"""Typed events of a batch as the columns that panes, the join and the id memory need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.columns import ABSENT, FEATURE, NULL, Column, column, feature_columns, text_hash
from stream.events import Outcome, Prediction
from stream.identity import MODEL, VERSION, Hashes, hash_id, hash_ids
from stream.judgement import HAS_LABEL, HAS_SCORE, HAS_VALUE, label_flags, label_text
from stream.sorted_runs import Columns

_REVISION_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: distinct revisions give distinct keys


def id_hashes(events: Sequence[Prediction] | Sequence[Outcome]) -> Hashes:
    """(n, 2), of the prediction ids alone; the first column orders the row sample."""
    return hash_ids([event.prediction_id for event in events])


def model_hashes(events: Sequence[Prediction] | Sequence[Outcome]) -> Hashes:
    """(n, 2); with the hashes of the ids by exclusive or: the key of the join."""
    return _of_each([event.model_id for event in events], lambda model: hash_id(model, MODEL))


def prediction_identities(keys: Hashes, events: Sequence[Prediction]) -> Hashes:
    """Of (model_id, model_version, role, prediction_id), from the keys of the join."""

    def hash_of(part: tuple[str, str]) -> Hashes:
        version, role = part
        return hash_id(f"{len(version)}:{version}{role}", VERSION)

    return keys ^ _of_each([(e.model_version, e.role) for e in events], hash_of)


def _of_each(parts: list[Any], hash_of: Callable[[Any], Hashes]) -> Hashes:
    """(n, 2); each distinct part is hashed once."""
    made = {part: hash_of(part) for part in set(parts)}
    if len(made) == 1:
        return np.broadcast_to(made[parts[0]], (len(parts), 2))
    return np.array([made[part] for part in parts], np.uint64).reshape(-1, 2)


def outcome_identities(keys: Hashes, revision: NDArray[np.int64]) -> Hashes:
    """Of (model_id, prediction_id, revision)."""
    ids = keys.copy()
    ids[:, 0] += revision.astype(np.uint64) * _REVISION_STEP
    return ids


def pane_columns(
    events: Sequence[Prediction], features: Sequence[dict[str, Any]], texts: dict[int, str]
) -> dict[str, Column]:
    """`features` of each, and what the predictions say; a measure that none has is left out."""
    said = [e.prediction for e in events]
    measures: dict[str, list[Any]] = {
        "prediction:label": label_texts([p.label for p in said]),
        "prediction:latency_ms": [e.latency_ms for e in events],
        "prediction:score": [p.score for p in said],
        "prediction:value": [p.value for p in said],
    }
    columns = feature_columns(features, FEATURE, texts)
    for name, cells in measures.items():
        if any(cell is not None for cell in cells):
            made = column(cells, texts)
            # null and absent are told apart for features only
            kind = np.where(made.kind == NULL, ABSENT, made.kind).astype(np.uint8)
            columns[name] = Column(kind, made.bits)
    return columns


def claims(events: Sequence[Prediction]) -> Columns:
    """The predictions as the join needs them."""
    said = [e.prediction for e in events]
    labels = [p.label for p in said]
    scores, values = [p.score for p in said], [p.value for p in said]
    has = _where_given(labels, HAS_LABEL) | _where_given(scores, HAS_SCORE)
    return {
        "has": has | _where_given(values, HAS_VALUE),
        "label": _label_hashes(labels),
        "score": _numbers(scores),
        "value": _numbers(values),
    }


def truths(events: Sequence[Outcome]) -> Columns:
    """The outcomes as the join needs them."""
    said = [e.actual for e in events]
    labels, values = [a.label for a in said], [a.value for a in said]
    texts = label_texts(labels)
    flags = {text: 0 if text is None else label_flags(text) for text in set(texts)}
    return {
        "retracted": np.array([e.retracted for e in events], np.bool_),
        "has": np.fromiter(map(flags.__getitem__, texts), np.uint8, len(texts))
        | _where_given(values, HAS_VALUE),
        "label": _label_hashes(labels),
        "value": _numbers(values),
    }


def _where_given(cells: Sequence[Any], flag: int) -> NDArray[np.uint8]:
    if None not in cells:
        return np.full(len(cells), flag, np.uint8)
    return np.array([0 if cell is None else flag for cell in cells], np.uint8)


def _numbers(cells: Sequence[float | None]) -> NDArray[np.float64]:
    """0 where there is none."""
    if None in cells:
        return np.array([cell or 0.0 for cell in cells], np.float64)
    return np.array(cells, np.float64)


def label_texts(labels: Sequence[Any]) -> list[str | None]:
    if set(map(type, labels)) == {str}:
        return list(labels)
    return [None if label is None else label_text(label) for label in labels]


def _label_hashes(labels: Sequence[Any]) -> NDArray[np.uint64]:
    texts = label_texts(labels)
    codes = {text: 0 if text is None else text_hash(text) for text in set(texts)}
    return np.fromiter(map(codes.__getitem__, texts), np.uint64, len(texts))
