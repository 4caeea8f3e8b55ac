"""The series that an alert is of, drawn from the events it was told of.

What an outcome measure says of a prediction is what stage 1 makes of it (`judgement`), with the
outcomes that were known when the alert was evaluated, at whatever age.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

import msgspec
import numpy as np

from stream.alert_lines import epoch_ms
from stream.class_judgement import class_measures
from stream.columns import NUMBER, text_hash
from stream.estimated_error import ESTIMATE
from stream.events import ActualValue, Alert, EventTime, Outcome, Prediction
from stream.judgement import (
    BINARY,
    SCORE_FALSE,
    SCORE_TRUE,
    label_flags,
    label_text,
    measures,
)
from stream.records import Decoded
from stream.rules import HOUR_MS, SHADOW, Rules
from stream.times import to_ms
from stream.typed_columns import outcome_columns, prediction_columns

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60  # of the sparkline
MOST = 200_000  # predictions that are looked at, those with the smallest hashes
Point = tuple[int, float]
Event = TypeVar("Event", Prediction, Outcome)
_COVERAGE, _CALIBRATION = "label_coverage", "calibration"
_UNKNOWN = Outcome("-", "-", msgspec.convert(0, EventTime), ActualValue())


def bounds_ms(alert: Alert) -> tuple[int, int]:
    """Of what is drawn: before the change as long as after it, and half as long again."""
    start_ms, end_ms = epoch_ms(alert.effect.change_at), epoch_ms(alert.window.end)
    return start_ms - 3 * max(end_ms - start_ms, WIDTH) // 2, end_ms


def drawn(
    alert: Alert,
    predictions: Iterable[bytes | None],
    outcomes: Iterable[bytes | None],
    rules: Rules,
) -> Iterator[str]:
    """Lines. Records that are no events are passed over."""
    first_ms, end_ms = bounds_ms(alert)
    sums, counts = [0.0] * WIDTH, [0] * WIDTH
    is_traffic = alert.kind in {"throughput", "silence"}
    points = (
        _traffic(alert, predictions) if is_traffic else _points(alert, predictions, outcomes, rules)
    )
    for at_ms, value in points:
        place = (at_ms - first_ms) * WIDTH // (end_ms - first_ms)
        sums[place] += value
        counts[place] += 1
    means = [s / n if n else None for s, n in zip(sums, counts, strict=True)]
    if is_traffic and any(counts):
        means = [n * HOUR_MS * WIDTH / (end_ms - first_ms) for n in counts]
    shown = [mean for mean in means if mean is not None]
    if not shown:
        yield "  series      not in these events"
        return
    change = (epoch_ms(alert.effect.change_at) - first_ms) * WIDTH // (end_ms - first_ms)
    yield f"  series      {sparkline(means)}  {figure(min(shown))} to {figure(max(shown))}"
    yield f"              {' ' * change}↑ {alert.effect.change_at[:16].replace('T', ' ')}"


def sparkline(values: Sequence[float | None]) -> str:
    """A bar each; a space where there is none.

    >>> sparkline([0.0, None, 1.0, 2.0])
    '▁ ▅█'
    """
    shown = [value for value in values if value is not None]
    low, high = min(shown), max(shown)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(" " if v is None else BARS[math.floor((v - low) * scale + 0.5)] for v in values)


def figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _points(
    alert: Alert,
    predictions: Iterable[bytes | None],
    outcomes: Iterable[bytes | None],
    rules: Rules,
) -> Iterator[Point]:
    """What the alert watches of each prediction: a share's part of it, else the number."""
    events = _mine(alert, predictions)
    metric = alert.impact.metric
    if metric is not None and f"prediction:{metric}" != ESTIMATE:
        yield from _judged(alert, metric, events, _known(alert, events, outcomes), rules)
        return
    watched = _watched(alert)
    for event in events:
        if (value := watched(event)) is not None:
            yield to_ms(event.predicted_at), value


def _traffic(alert: Alert, values: Iterable[bytes | None]) -> Iterator[Point]:
    """Each prediction of the model, an hour's worth of which is drawn."""
    for event in _within(alert, values):
        if event.role != SHADOW:
            yield to_ms(event.predicted_at), 1.0


def _within(alert: Alert, values: Iterable[bytes | None]) -> Iterator[Prediction]:
    """Of the model and segment, at the time that is drawn."""
    first_ms, end_ms = bounds_ms(alert)
    parts = (part.partition("=") for part in (alert.scope.segment or "").split(",") if part)
    segment = {name: value for name, _, value in parts}
    for event in _events(values, Prediction):
        is_then = first_ms <= to_ms(event.predicted_at) < end_ms
        is_there = segment.items() <= (event.segment or {}).items()
        if event.model_id == alert.model.id and is_then and is_there:
            yield event


def _mine(alert: Alert, values: Iterable[bytes | None]) -> list[Prediction]:
    """Of the model, version, role and segment; MOST of them."""
    mine = (alert.model.version, alert.model.role)
    kept: list[tuple[int, Prediction]] = []
    most = 2**64  # of the hashes
    for event in _within(alert, values):
        if (event.model_version, event.role) != mine:
            continue
        if (code := text_hash(event.prediction_id)) < most:
            kept.append((code, event))
        if len(kept) == 2 * MOST:
            kept = sorted(kept, key=lambda one: one[0])[:MOST]
            most = kept[-1][0]
    return [event for _, event in sorted(kept, key=lambda one: one[0])[:MOST]]


def _known(
    alert: Alert, events: Sequence[Prediction], values: Iterable[bytes | None]
) -> dict[str, Outcome]:
    """By prediction id, the outcomes that were known when the alert was evaluated."""
    asked, until_ms = {event.prediction_id for event in events}, epoch_ms(alert.evaluated_at)
    known: dict[str, Outcome] = {}
    for one in _events(values, Outcome):
        if one.model_id != alert.model.id or one.prediction_id not in asked:
            continue
        before = known.get(one.prediction_id)
        if to_ms(one.observed_at) < until_ms and (
            before is None or one.revision >= before.revision
        ):
            known[one.prediction_id] = one
    return {at: one for at, one in known.items() if not one.retracted}


def _events(values: Iterable[bytes | None], form: type[Event]) -> Iterator[Event]:
    decode = msgspec.json.Decoder(form).decode
    for value in values:
        try:
            yield decode(value or b"")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue


def _judged(
    alert: Alert,
    metric: str,
    events: Sequence[Prediction],
    known: dict[str, Outcome],
    rules: Rules,
) -> Iterator[Point]:
    times = np.array([to_ms(event.predicted_at) for event in events], np.int64)
    labelled = np.array([event.prediction_id in known for event in events], np.bool_)
    if metric == _COVERAGE:
        yield from zip(times.tolist(), labelled.astype(np.float64).tolist(), strict=True)
        return
    bare = [msgspec.structs.replace(event, features={}) for event in events]
    truths = [known.get(event.prediction_id, _UNKNOWN) for event in events]
    place = np.arange(len(events))
    said = prediction_columns(Decoded(bare, times, place, []), rules).claims() | {"time": times}
    truth = outcome_columns(Decoded(truths, times, place, [])).truths() | {"effective": times}
    found = measures(said, truth, labelled)
    found |= class_measures(rules.model(alert.model.id), said, truth, labelled)
    if metric == _CALIBRATION:
        low, high = (float(alert.evidence["current"][f"score_{end}"]) for end in ("from", "to"))
        within = (said["score"] >= low) & (said["score"] <= high)
        for name, value in ((SCORE_FALSE, 0.0), (SCORE_TRUE, 1.0)):
            for row in np.flatnonzero(within & (found[name].kind == NUMBER)).tolist():
                yield int(times[row]), value
    elif (column := found.get(f"outcome:{metric}")) is not None:
        rows, numbers = column.numbers()
        yield from zip(times[rows].tolist(), numbers.tolist(), strict=True)


def _watched(alert: Alert) -> Callable[[Prediction], float | None]:
    feature = alert.scope.feature
    if feature is None:
        if alert.kind == "latency":
            return _of_latency
        if alert.impact.metric is not None:  # others are of judged predictions
            return _of_expected_error
        return _of_said if alert.kind == "prediction_drift" else lambda _: None
    if alert.alertname == "AbsentFeature":
        return lambda event: float(feature not in event.features)
    if alert.alertname == "ShadowLacksFeature":
        return lambda event: float(event.features.get(feature) is None)
    if alert.alertname == "NullRate":
        return lambda event: float(event.features.get(feature, 0) is None)
    moved = _category(alert)

    def of_value(event: Prediction) -> float | None:
        value = event.features.get(feature)
        if alert.alertname in {"TypeErrors", "ShadowTypeErrors"}:
            return float(isinstance(value, str) != (moved is not None))
        if moved is not None and isinstance(value, str):
            return float(value == moved)
        return float(value) if isinstance(value, int | float) else None

    return of_value


def _of_latency(event: Prediction) -> float | None:
    return event.latency_ms


def _of_expected_error(event: Prediction) -> float | None:
    """As `estimated_error` has it."""
    label, score = event.prediction.label, event.prediction.score
    if score is None or not 0.0 <= score <= 1.0:
        return None
    is_of_the_named = label is not None and not label_flags(label_text(label)) & BINARY
    return 1.0 - score if is_of_the_named else min(score, 1.0 - score)


def _of_said(event: Prediction) -> float | None:
    said = event.prediction
    return said.value if said.score is None else said.score


def _category(alert: Alert) -> str | None:
    """Of those shown the one whose share has moved most; None where it is no text."""
    sides = [alert.evidence.get(side, {}).get("shares", {}) for side in ("reference", "current")]
    before, after = sides
    names = sorted(before.keys() | after.keys())
    return max(names, key=lambda one: abs(after.get(one, 0) - before.get(one, 0)), default=None)
