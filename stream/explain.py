"""Why an alert fired, on one screen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from stream.alert_lines import epoch_ms
from stream.backtest_files import chunks
from stream.events import Alert, Prediction
from stream.times import to_ms

BARS = "▁▂▃▄▅▆▇█"
WIDTH = 60  # of the sparkline
MEMBERS = 12  # of the incident that are named


class UnknownAlertError(ValueError):
    """No alert, or more than one, has an id that begins so."""


def find(alerts: Iterable[Alert], wanted: str) -> tuple[Alert, list[Alert]]:
    """The alert, and each alert of its incident as it was told last, in that order. Raises
    UnknownAlertError."""
    known = {alert.id: alert for alert in alerts}  # a topic may hold one twice
    found = [alert for alert_id, alert in known.items() if alert_id.startswith(wanted)]
    if len(found) != 1:
        raise UnknownAlertError(f"{len(found) or 'no'} alerts have an id that begins {wanted}")
    latest: dict[str, Alert] = {}
    for alert in known.values():
        if alert.incident_id == found[0].incident_id:
            latest[alert.fingerprint] = alert
    return found[0], list(latest.values())


def explained(
    alert: Alert, incident: Sequence[Alert], *, history: Sequence[Path], command: str
) -> Iterator[str]:
    """Lines. `history`: files of predictions, from which the series is drawn."""
    model, effect, detector = alert.model, alert.effect, alert.detector
    watched = alert.scope.feature or alert.impact.metric or "the model's predictions"
    yield f"{alert.severity.upper()} {alert.alertname}: {alert.summary}"
    yield f"  what        {watched} of {model.id} v{model.version}, {model.role}"
    yield f"  when        since {effect.change_at}, found {alert.evaluated_at}, {alert.status}"
    yield (
        f"  how much    {effect.estimate:.3g}, 95 % within {effect.low:.3g} and {effect.high:.3g}; "
        f"nothing below {effect.floor:.3g} is told"
    )
    yield (
        f"  threshold   {detector.statistic:.3g} of {detector.threshold:.3g} ({detector.name}, "
        f"{detector.direction}), {100 * detector.budget_share:.2g} % of the budget"
    )
    reference, current = (alert.evidence.get(side, {}) for side in ("reference", "current"))
    known = f"{alert.reference.id}, {alert.reference.count:,} values"
    yield f"  reference   {known}: {_facts(reference)}"
    yield f"  now         {alert.window.count:,} values since then: {_facts(current)}"
    if history:
        yield from _drawn(alert, history)
    yield from _causes(alert)
    yield from _belonging(alert, incident)
    yield f"  whose       {alert.owners.accountable}; do: {alert.recommended_action}"
    yield f"  runbook     {alert.links.get('runbook_url') or 'none'}"
    yield f"  again       {command}"


def _facts(side: dict[str, Any]) -> str:
    named = [f"{name} {_figure(value)}" for name, value in side.items() if _is_number(value)]
    return ", ".join(named) or "nothing that a number says"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _causes(alert: Alert) -> Iterator[str]:
    """What probably is behind it, with what was found of it."""
    evidence = alert.evidence
    if (cause := evidence.get("cause")) is not None:
        facts = ", ".join(f"{name} {value}" for name, value in cause.items() if name != "what")
        yield f"  cause       {cause['what']}: {facts}"
    for one in evidence.get("moved_with", {}).get("features", ()):
        where = f" {one['category']}" if "category" in one else ""
        before, after = _figure(one["before"]), _figure(one["after"])
        yield f"  moved with  {one['feature']}{where}: {before} -> {after}"
    if (inputs := evidence.get("inputs")) is not None:
        unsure = ", ".join([*inputs["moved"], *inputs["undecided"]])
        rest = f"; moved or undecided: {unsure}" if unsure else ""
        yield f"  inputs      {inputs['stable']} are as before{rest}"
    if (shared := evidence.get("shared")) is not None:
        yield f"  shared      with {', '.join(shared['read_by'])}"


def _belonging(alert: Alert, incident: Sequence[Alert]) -> Iterator[str]:
    under = alert.evidence.get("folded_under")
    if under is not None:
        of = f" of {under['feature']}" if under["feature"] else ""
        yield f"  follows     from {under['alertname']}{of}, {under['model']} v{under['version']}"
    others = [one for one in incident if one.fingerprint != alert.fingerprint]
    if not others:
        yield "  incident    of its own"
    for place, one in enumerate(others[:MEMBERS]):
        head = f"of {len(others) + 1} alerts" if place == 0 else ""
        where = f"{one.model.id} v{one.model.version} {one.scope.feature or ''}".rstrip()
        yield f"  {'incident' if place == 0 else '':<11} {head:<13}{one.alertname} {where}"


# -- the series


def _drawn(alert: Alert, history: Sequence[Path]) -> Iterator[str]:
    """Before the change as long as after it, and half as long again."""
    start_ms, end_ms = epoch_ms(alert.effect.change_at), epoch_ms(alert.window.end)
    span_ms = max(end_ms - start_ms, WIDTH)
    first_ms = start_ms - 3 * span_ms // 2
    sums, counts = [0.0] * WIDTH, [0] * WIDTH
    for at_ms, value in _series(alert, history):
        place = (at_ms - first_ms) * WIDTH // (end_ms - first_ms)
        if 0 <= place < WIDTH:
            sums[place] += value
            counts[place] += 1
    means = [s / n if n else None for s, n in zip(sums, counts, strict=True)]
    shown = [mean for mean in means if mean is not None]
    if not shown:
        yield "  series      not in these predictions"
        return
    change = (start_ms - first_ms) * WIDTH // (end_ms - first_ms)
    yield f"  series      {sparkline(means)}  {_figure(min(shown))} to {_figure(max(shown))}"
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


def _series(alert: Alert, history: Sequence[Path]) -> Iterator[tuple[int, float]]:
    """What the alert watches of each prediction: a share's part of it, else the number."""
    decoder = msgspec.json.Decoder(Prediction)
    for value in (v for chunk in chunks([*history], 1, None) for r in chunk for v in r.values):
        try:
            event = decoder.decode(value or b"")
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            continue
        mine = alert.model
        if (event.model_id, event.model_version, event.role) != (mine.id, mine.version, mine.role):
            continue
        number = _watched(alert, event)
        if number is not None:
            yield to_ms(event.predicted_at), number


def _watched(alert: Alert, event: Prediction) -> float | None:
    feature = alert.scope.feature
    if feature is None:
        said = event.prediction
        if alert.kind not in {"prediction_drift", "latency"}:
            return None  # outcomes are elsewhere
        if alert.kind == "latency":
            return event.latency_ms
        return said.value if said.score is None else said.score
    if alert.alertname == "AbsentFeature":
        return float(feature not in event.features)
    value = event.features.get(feature)
    if alert.alertname == "NullRate":
        return float(value is None and feature in event.features)
    if alert.alertname == "TypeErrors":
        return float(isinstance(value, str))
    return float(value) if isinstance(value, int | float) else None
