"""Why an alert fired, on one screen."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from stream.events import Alert
from stream.explain_series import figure

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
    alert: Alert, incident: Sequence[Alert], *, series: Iterable[str], command: str
) -> Iterator[str]:
    """Lines. `series`: those that draw it."""
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
    yield from series
    yield from _causes(alert)
    yield from _belonging(alert, incident)
    yield f"  whose       {alert.owners.accountable}; do: {alert.recommended_action}"
    yield f"  runbook     {alert.links.get('runbook_url') or 'none'}"
    yield f"  again       {command}"


def _facts(side: dict[str, Any]) -> str:
    named = [f"{name} {figure(value)}" for name, value in side.items() if _is_number(value)]
    return ", ".join(named) or "nothing that a number says"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _causes(alert: Alert) -> Iterator[str]:
    """What probably is behind it, with what was found of it."""
    evidence = alert.evidence
    if (cause := evidence.get("cause")) is not None:
        facts = ", ".join(f"{name} {value}" for name, value in cause.items() if name != "what")
        yield f"  cause       {cause['what']}: {facts}"
    for one in evidence.get("moved_with", {}).get("features", ()):
        where = f" {one['category']}" if "category" in one else ""
        before, after = figure(one["before"]), figure(one["after"])
        yield f"  moved with  {one['feature']}{where}: {before} -> {after}"
    if (inputs := evidence.get("inputs")) is not None:
        unsure = ", ".join([*inputs["moved"], *inputs["undecided"]])
        rest = f"; moved or undecided: {unsure}" if unsure else ""
        yield f"  inputs      {inputs['stable']} are as before{rest}"
    if (again := evidence.get("again")) is not None:
        yield f"  before      each {again['each']}: {', '.join(again['before'])}"
    if (versions := evidence.get("versions")) is not None:
        also = (f"v{one['version']} {one['role']}" for one in versions["also"])
        yield f"  versions    also {', '.join(also)}"
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
