"""Kinds of panes: of predictions, of cohorts at their maturity, and of cohorts at a further age; of
pairs, a champion's and a shadow's prediction under one id; of trials, cohorts by subject.

A further age is one before the maturity at which predictions are judged too. Its cohorts are a kind
of panes of their own, "cohort@" and the age in ms: with ready times, a reference and alerts of
their own, so that early labels, a biased sample, are compared with early labels.
"""

from __future__ import annotations

PaneKind = str
"""One of `KINDS`, or what `cohort_at` makes."""

KINDS: tuple[PaneKind, ...] = ("prediction", "cohort", "pair", "trial")
_AT = "cohort@"
_UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "m"), (1_000, "s"), (1, "ms"))


def cohort_at(age_ms: int) -> PaneKind:
    return f"{_AT}{age_ms}"


def further_age_of(kind: PaneKind) -> int | None:
    """In ms; None: it is not of a further age."""
    return int(kind[len(_AT) :]) if kind.startswith(_AT) else None


def is_judged(kind: PaneKind) -> bool:
    """Whether its panes are of judged predictions."""
    return kind != "prediction"


def checked_kind(text: str) -> PaneKind:
    """Raises ValueError."""
    if text in KINDS:
        return text
    digits = text.removeprefix(_AT)
    if digits == text or not (digits.isascii() and digits.isdigit()) or digits[0] == "0":
        raise ValueError(f"{text!r} is no kind of panes")
    return text


def age_text(age_ms: int) -> str:
    """As a configuration has it: 90m, 1h, 1d."""
    size, unit = next(one for one in _UNITS if age_ms % one[0] == 0)
    return f"{age_ms // size}{unit}"


def series_at(kind: PaneKind, series: str) -> str:
    """What a series is called outside of its kind of panes."""
    age_ms = further_age_of(kind)
    return series if age_ms is None else f"{series}@{age_text(age_ms)}"
