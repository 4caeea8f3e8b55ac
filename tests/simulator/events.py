"""Streams of a hundred records in which what a detector is for happens: values, scores, nulls,
categories or errors shift and come back, labels come late or never, and some records are bad."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Any

from stream.rules import AdwinRule, PageHinkleyRule, ReferenceRule, Rules
from tests.streams import SMALL, Event, outcome, prediction, value_of, with_maturity

TINY = replace(
    SMALL,
    horizon_ms=60_000,
    reference=ReferenceRule(predictions=8, span_ms=1_000),
    adwin=AdwinRule(enabled=True, delta=1.9, clock=1),
    minimum_values=6,
    resolve_after_panes=2,
    pane_rows=4,
    window_rows=16,
    max_record_bytes=2_000,
)
"""Rules under which forty events fire and resolve alerts: δ is split over at least two series."""

CROWDED = {"max_pending": 10, "max_ids": 16, "max_outcomes": 8}
FEW_GROUPS = {"max_groups": 1, "forget_ms": 6_000}
"""Caps that a stream of fifty predictions passes."""

_BEHIND_MS = (0, 0, 0, 0, 900, 2_400, 6_000)
_DEAD = 0.06  # of the records: a stream has some, and is not made of them


@dataclass(frozen=True)
class Theme:
    """What a stream is about: a model's inputs, or its errors."""

    predictions: int
    measures: tuple[str, ...]
    models: tuple[str, ...]
    is_split: bool  # over versions and roles
    unlabelled: float  # share of predictions without an outcome
    delays_ms: tuple[int, ...]  # of outcomes, at most; one is drawn
    is_tidy: bool = False  # nothing is late, from the future, bad or there twice


def draw_rules(random: Random) -> Rules:
    detector = random.choice(("adwin", "adwin", "page_hinkley"))
    rules = replace(
        TINY,
        adwin=replace(TINY.adwin, enabled=detector == "adwin"),
        page_hinkley=PageHinkleyRule(enabled=detector == "page_hinkley", threshold=1.5),
    )
    if random.random() < 0.25:
        rules = replace(rules, **random.choice((CROWDED, CROWDED, FEW_GROUPS)))
    return with_maturity(rules, random.choice(("auto", "auto", 3_000, None)))


def draw_theme(random: Random, rules: Rules) -> Theme:
    if rules.maturity is not None and random.random() < 0.4:
        return Theme(random.randint(44, 54), (), ("m",), False, 0.05, (2_500,))
    measures = [*random.sample(("x", "score"), 1), *random.choice(((), (), ("gap",), ("word",)))]
    return Theme(
        random.randint(32, 42),
        tuple(measures),
        random.choice((("m",), ("m",), ("m", "n"))),
        is_split=random.random() < 0.5,
        unlabelled=random.choice((0.1, 0.5)),
        delays_ms=(4_000, 4_000, 4_000, 50_000),
    )


def draw_events(random: Random, theme: Theme) -> tuple[list[Event], list[Event]]:
    """Predictions and outcomes; `_arrival`, and what else begins with it, is not public."""
    size, now = theme.predictions, random.choice((0, 1_763_800_000_000))
    gap_ms = random.choice((150, 300))
    shift_at = int(size * random.uniform(0.4, 0.5))
    back_at = int(size * random.uniform(0.65, 1.1))
    predictions: list[Event] = []
    outcomes: list[Event] = []
    for i in range(size):
        now += random.randint(0, 2 * gap_ms)
        is_shifted = shift_at <= i < back_at
        made = _prediction(random, theme, f"p{i}", now, is_shifted=is_shifted, part=i / size)
        predictions.append(made)
        outcomes += _outcomes(random, theme, made, is_shifted=is_shifted)
        if theme.is_tidy:
            continue
        if random.random() < 0.1:
            predictions.append(_again(random, random.choice(predictions[-10:]), now))
        if random.random() < _DEAD:
            predictions.append(poison(random, made, now))
        if outcomes and random.random() < _DEAD:
            outcomes.append(poison(random, outcomes[-1], now))
    return predictions, outcomes


def _prediction(
    random: Random, theme: Theme, name: str, now: int, *, is_shifted: bool, part: float
) -> Event:
    measures: dict[str, Any] = {
        "x": random.gauss(40.0 if is_shifted else 0.0, 1.0),
        "gap": None if is_shifted or random.random() < 0.03 else 1,
        "word": random.choice("XYZ" if is_shifted else "AB"),
    }
    said: Event = {"label": "yes"}
    if "score" in theme.measures:
        said["score"] = round(random.random() * 0.2 + (0.7 if is_shifted else 0.0), 3)
    is_new = theme.is_split and part > 0.6 and random.random() < 0.15
    is_shadow = theme.is_split and random.random() < 0.05
    return prediction(
        name,
        now if theme.is_tidy else max(0, now - random.choice(_BEHIND_MS)),
        model_id=random.choice(theme.models),
        model_version="2" if is_new else "1",
        role="shadow" if is_shadow else "champion",
        features={name: measures[name] for name in theme.measures if name in measures},
        prediction=said,
        _arrival=now,
    )


def _outcomes(random: Random, theme: Theme, made: Event, *, is_shifted: bool) -> list[Event]:
    if random.random() < theme.unlabelled:
        return []
    at = made["predicted_at"] + random.randint(0, random.choice(theme.delays_ms))
    is_wrong = random.random() < (0.95 if is_shifted else 0.05)
    drawn = [
        outcome(
            made["prediction_id"],
            at,
            model_id=made["model_id"],
            actual={"label": "no" if is_wrong else "yes"},
            retracted=random.random() < 0.03,
            _arrival=at if theme.is_tidy else at + random.choice((0, 0, 3_000)),
        )
    ]
    if theme.is_tidy:
        return drawn
    if random.random() < 0.08:
        arrival = drawn[0]["_arrival"] + 1_500
        drawn.append({**drawn[0], "revision": 2, "actual": {"label": "yes"}, "_arrival": arrival})
    if random.random() < 0.08:
        drawn.append({**drawn[-1], "_arrival": drawn[-1]["_arrival"] + 1_000})
    return drawn


def _again(random: Random, event: Event, now: int) -> Event:
    """A duplicate, another identity under the same id, or a record from the future."""
    changed: Event = random.choice(
        (
            {},
            {"role": "challenger"},
            {"role": "shadow", "prediction": {"label": "no"}},
            {"predicted_at": now + 10**7, "_timestamp": now},
        )
    )
    return {**event, "_arrival": now, **changed}


def poison(random: Random, event: Event, now: int) -> Event:
    """A record that cannot be used. In all of its forms: what is dead is dead at its offset."""
    public = {name: value for name, value in event.items() if not name.startswith("_")}
    raw: bytes = random.choice(
        (
            b"{",
            b"\x80\x00\xff",
            value_of({**public, "note": "x" * 2_000}),
            value_of({**public, "model_id": 7}),
            value_of({name: value for name, value in public.items() if name != "model_id"}),
            value_of(public).replace(b'"prediction_id": "p', b'"prediction_id": "\xff'),
            value_of({**public, "predicted_at": "yesterday", "observed_at": "yesterday"}),
        )
    )
    return {**event, "_raw": raw, "_arrival": now, "_timestamp": now}


LIVELY = Theme(
    predictions=56,
    measures=("x", "score", "gap"),
    models=("m", "n"),
    is_split=True,
    unlabelled=0.1,
    delays_ms=(2_500,),
)
"""Much to tell: of two models, of inputs, scores and errors."""
