"""A matured prediction against its outcome: delay, error, losses, classes, scores by truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.columns import (
    LARGEST_NUMBER,
    NULL,
    NUMBER,
    OTHER,
    SMALLEST_NUMBER,
    Column,
    number_column,
)
from stream.events import Label
from stream.sorted_runs import Columns

HAS_LABEL, HAS_SCORE, HAS_VALUE = 1, 2, 4
BINARY, POSITIVE = 8, 16  # an actual label that is 0/1 or false/true; one that means "positive"

DELAY, COST = "outcome:delay_ms", "outcome:cost"
RECALL, FALSE_POSITIVES = "outcome:recall", "outcome:false_positive_rate"
SCORE_TRUE, SCORE_FALSE = "outcome:score_true", "outcome:score_false"
MEASURES = (
    "outcome:absolute_error", "outcome:brier", DELAY, "outcome:error", FALSE_POSITIVES, RECALL,
    SCORE_FALSE, SCORE_TRUE, "outcome:squared_error",
)  # fmt: skip

_ONE = np.float64(1.0).view(np.uint64)
_BINARY_TEXTS = frozenset({"0", "1", "false", "true"})
_POSITIVE_TEXTS = frozenset({"1", "true", "yes", "positive"})


def label_text(label: Label) -> str:
    if isinstance(label, bool):
        return "true" if label else "false"
    return label if isinstance(label, str) else str(label)


def label_flags(text: str) -> int:
    """What an actual label says, from its text."""
    flags = HAS_LABEL
    flags |= BINARY if text in _BINARY_TEXTS else 0
    flags |= POSITIVE if text.lower() in _POSITIVE_TEXTS else 0
    return flags


def is_of_class(name: str) -> bool:
    """Whether a measure is of one class: of the positive one, or of one that was declared."""
    return name.partition(":")[2].partition(":")[0] in {"recall", "false_positive_rate"}


def cells(values: NDArray[Any], applies: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> Column:
    """A measure: absent where it does not apply, null where that is not known."""
    is_number = applies & labelled
    kind = _kinds(is_number, labelled)
    if not is_number.any():
        return Column(kind, np.zeros(len(kind), np.uint64))
    numbers = np.where(is_number, values, 0.0)
    beyond = ~(numbers <= LARGEST_NUMBER)
    if beyond.any():
        kind[beyond] = OTHER
        numbers[beyond] = 0.0
    return number_column(numbers, kind)


def _kinds(is_number: NDArray[np.bool_], labelled: NDArray[np.bool_]) -> NDArray[np.uint8]:
    kind: NDArray[np.uint8] = is_number * np.uint8(NUMBER)
    if not labelled.all():
        kind[~labelled] = NULL
    return kind


def measures(
    predictions: Columns, outcomes: Columns, labelled: NDArray[np.bool_]
) -> dict[str, Column]:
    """One column a measure over parallel predictions and outcomes.

    Of delay and losses a cell is null where the prediction is unlabelled (the outcome's columns
    mean nothing there); those of classes and of scores by truth are absent then, as where a
    measure does not apply: most models have no use for them.
    """
    if native.IN_USE:
        return _natively(predictions, outcomes, labelled)
    said, truth, every = predictions["has"], outcomes["has"], np.ones(len(labelled), np.bool_)
    knows, positive = (truth & HAS_LABEL) != 0, (truth & POSITIVE) != 0
    binary = (truth & BINARY) != 0
    named = (said & HAS_LABEL) != 0
    scored = ((said & HAS_SCORE) != 0) & knows
    score = predictions["score"]
    probable = scored & (score >= 0) & (score <= 1)

    wrong, has_error, happened = (score >= 0.5) != positive, scored, positive
    is_probability = probable & binary
    if named.any():
        agrees = predictions["label"] == outcomes["label"]
        wrong, has_error = np.where(named, ~agrees, wrong), np.where(named, knows, scored)
        happened = np.where(binary, positive, agrees)
        is_probability = probable & (binary | named)
    miss = np.where(probable, score - happened, 0.0)
    delay_ms = np.maximum(outcomes["effective"] - predictions["time"], 0)
    has_error, is_probability = has_error & labelled, is_probability & labelled
    of_class = has_error & binary
    found = {
        **_deviations(predictions, outcomes, labelled),
        "outcome:brier": _probable(miss**2, is_probability, labelled),
        DELAY: Column(
            _kinds(labelled, labelled), np.where(labelled, delay_ms, 0.0).view(np.uint64)
        ),
        "outcome:error": _flags(wrong, has_error, labelled),
        FALSE_POSITIVES: _flags(wrong, of_class & ~positive, every),
        RECALL: _flags(~wrong, of_class & positive, every),
        SCORE_FALSE: _probable(score, is_probability & ~happened, every),
        SCORE_TRUE: _probable(score, is_probability & happened, every),
    }
    return {name: found[name] for name in MEASURES}


def _deviations(
    predictions: Columns, outcomes: Columns, labelled: NDArray[np.bool_]
) -> dict[str, Column]:
    has_value = (predictions["has"] & outcomes["has"] & HAS_VALUE) != 0
    if not has_value.any():
        of_none = cells(has_value, has_value, labelled)
        return {"outcome:absolute_error": of_none, "outcome:squared_error": of_none}
    deviation = np.where(has_value, predictions["value"] - outcomes["value"], 0.0)
    with np.errstate(over="ignore"):  # what overflows becomes `other`
        squared = deviation**2
    return {
        "outcome:absolute_error": cells(np.abs(deviation), has_value, labelled),
        "outcome:squared_error": cells(squared, has_value, labelled),
    }


def _flags(
    true: NDArray[np.bool_], is_number: NDArray[np.bool_], labelled: NDArray[np.bool_]
) -> Column:
    """1 where it is true, and 0."""
    return Column(_kinds(is_number, labelled), np.where(true & is_number, _ONE, np.uint64(0)))


def _probable(
    values: NDArray[np.float64], is_number: NDArray[np.bool_], labelled: NDArray[np.bool_]
) -> Column:
    """Of values in [0, 1]."""
    numbers = np.where(is_number & (values >= SMALLEST_NUMBER), values, 0.0)  # one zero, not two
    return Column(_kinds(is_number, labelled), numbers.view(np.uint64))


def _natively(
    predictions: Columns, outcomes: Columns, labelled: NDArray[np.bool_]
) -> dict[str, Column]:
    """The same by the extension."""
    said = [predictions[name] for name in ("has", "label", "score", "value", "time")]
    truth = [outcomes[name] for name in ("has", "label", "value", "effective")]
    made = native.EXTENSION.judged(*map(np.ascontiguousarray, (*said, *truth, labelled)))
    kinds = np.frombuffer(made[0], np.uint8).reshape(len(MEASURES), -1)
    bits = np.frombuffer(made[1], np.uint64).reshape(len(MEASURES), -1)
    return {name: Column(kinds[i], bits[i]) for i, name in enumerate(MEASURES)}
