"""Typed events of a batch as the columns that panes, the join and the id memory need."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.columns import ABSENT, NULL, Column, column, feature_columns, text_hash
from stream.events import Outcome, Prediction
from stream.identity import MODEL, VERSION, Hashes, hash_id, hash_ids
from stream.judgement import HAS_LABEL, HAS_SCORE, HAS_VALUE, actual_flags, label_text
from stream.sorted_runs import Columns

_REVISION_STEP = np.uint64(0x9E3779B97F4A7C15)  # odd: distinct revisions give distinct keys


def id_hashes(events: Sequence[Prediction] | Sequence[Outcome]) -> Hashes:
    """(n, 2), of the prediction ids alone; the first column orders the row sample."""
    return hash_ids([event.prediction_id for event in events])


def model_hashes(events: Sequence[Prediction] | Sequence[Outcome]) -> Hashes:
    """(n, 2); with the hashes of the ids by exclusive or: the key of the join."""
    made = {model_id: hash_id(model_id, MODEL) for model_id in {e.model_id for e in events}}
    return np.array([made[e.model_id] for e in events], np.uint64).reshape(-1, 2)


def prediction_identities(keys: Hashes, events: Sequence[Prediction]) -> Hashes:
    """Of (model_id, model_version, role, prediction_id), from the keys of the join."""
    parts = {(e.model_version, e.role) for e in events}
    made = {
        (version, role): hash_id(f"{len(version)}:{version}{role}", VERSION)
        for version, role in parts
    }
    of_events = [made[e.model_version, e.role] for e in events]
    return keys ^ np.array(of_events, np.uint64).reshape(-1, 2)


def outcome_identities(keys: Hashes, revision: NDArray[np.int64]) -> Hashes:
    """Of (model_id, prediction_id, revision)."""
    ids = keys.copy()
    ids[:, 0] += revision.astype(np.uint64) * _REVISION_STEP
    return ids


def pane_columns(events: Sequence[Prediction], texts: dict[int, str]) -> dict[str, Column]:
    """Features and what the predictions say; a measure that none of them has is left out."""
    said = [e.prediction for e in events]
    measures: dict[str, list[Any]] = {
        "prediction:label": [None if p.label is None else label_text(p.label) for p in said],
        "prediction:latency_ms": [e.latency_ms for e in events],
        "prediction:score": [p.score for p in said],
        "prediction:value": [p.value for p in said],
    }
    columns = feature_columns([e.features for e in events], "feature:", texts)
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
    has = [
        (0 if p.label is None else HAS_LABEL)
        | (0 if p.score is None else HAS_SCORE)
        | (0 if p.value is None else HAS_VALUE)
        for p in said
    ]
    return {
        "has": np.array(has, np.uint8),
        "label": np.array([_label_hash(p.label) for p in said], np.uint64),
        "score": np.array([p.score or 0.0 for p in said], np.float64),
        "value": np.array([p.value or 0.0 for p in said], np.float64),
    }


def truths(events: Sequence[Outcome]) -> Columns:
    """The outcomes as the join needs them."""
    return {
        "retracted": np.array([e.retracted for e in events], np.bool_),
        "has": np.array([actual_flags(e.actual) for e in events], np.uint8),
        "label": np.array([_label_hash(e.actual.label) for e in events], np.uint64),
        "value": np.array([e.actual.value or 0.0 for e in events], np.float64),
    }


def _label_hash(label: Any) -> int:
    return 0 if label is None else text_hash(label_text(label))
