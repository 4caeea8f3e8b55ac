"""A matured prediction against its outcome: delay, error, losses, classes, scores by truth."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.columns import LARGEST_NUMBER, NULL, NUMBER, OTHER, Column, number_column
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
    kind = np.where(labelled, applies * np.uint8(NUMBER), np.uint8(NULL))
    is_number = applies & labelled
    if not is_number.any():
        return Column(kind, np.zeros(len(kind), np.uint64))
    numbers = np.where(is_number, values, 0.0)
    beyond = ~(numbers <= LARGEST_NUMBER)
    if beyond.any():
        kind[beyond] = OTHER
        numbers[beyond] = 0.0
    return number_column(numbers, kind)


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
    said, truth = predictions["has"], outcomes["has"]
    both = said & truth
    positive = (truth & POSITIVE) != 0
    named = (said & HAS_LABEL) != 0
    agrees = predictions["label"] == outcomes["label"]
    scored = ((said & HAS_SCORE) != 0) & ((truth & HAS_LABEL) != 0)
    score = predictions["score"]

    wrong = np.where(named, ~agrees, (score >= 0.5) != positive)
    has_error = np.where(named, (both & HAS_LABEL) != 0, scored)
    binary = (truth & BINARY) != 0
    probable = scored & (score >= 0) & (score <= 1)
    happened = np.where(binary, positive, agrees)
    deviation = np.where((both & HAS_VALUE) != 0, predictions["value"] - outcomes["value"], 0.0)

    delay_ms = np.maximum(outcomes["effective"] - predictions["time"], 0)
    has_value = (both & HAS_VALUE) != 0
    miss = np.where(probable, score - happened, 0.0)
    with np.errstate(over="ignore"):  # what overflows becomes `other`
        squared = deviation**2
    is_probability = probable & (binary | named)
    every = np.ones(len(said), np.bool_)
    losses = {
        "outcome:absolute_error": (np.abs(deviation), has_value),
        "outcome:brier": (miss**2, is_probability),
        DELAY: (delay_ms, every),
        "outcome:error": (wrong, has_error),
        "outcome:squared_error": (squared, has_value),
    }
    parts = {
        FALSE_POSITIVES: (wrong, has_error & binary & ~positive),
        RECALL: (~wrong, has_error & binary & positive),
        SCORE_FALSE: (score, is_probability & ~happened),
        SCORE_TRUE: (score, is_probability & happened),
    }
    found = {name: cells(*of, labelled) for name, of in losses.items()}
    for name, (values, applies) in parts.items():
        found[name] = cells(values, applies & labelled, every)
    return {name: found[name] for name in sorted(found)}


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
