"""What the demo prints at the end, and whether it may be content."""

from __future__ import annotations

from dataclasses import dataclass

from stream.alert_lines import epoch_ms
from stream.demo import car_loan, staged
from stream.events import Alert

Ledger = dict[str, dict[str, int]]
"""Side (predictions, outcomes) to term to count."""

INTAKE = ("applied", "duplicate", "late", "future", "dead_lettered", "shed")
FATES = {
    "predictions": ("matured_labelled", "matured_unlabelled", "pending", "unjoined"),
    "outcomes": ("joined", "superseded", "retracted", "orphan_waiting", "orphan_expired"),
}
DRIFT_MS = car_loan.START_MS + car_loan.DRIFT_ROW * car_loan.STEP_MS
NULLS_MS = (
    car_loan.START_MS + (staged.NULL_ROWS.start - 10) * car_loan.STEP_MS
)  # an onset is a guess


@dataclass(frozen=True, slots=True)
class Run:
    """One finished run of the demo."""

    ledger: Ledger
    sent: dict[str, int]  # by side
    alerts: list[Alert]
    seconds: float  # from the first event sent until no stage moved any more
    rows: range = range(car_loan.ROWS)  # of the data

    def total(self, term: str) -> int:
        return sum(side.get(term, 0) for side in self.ledger.values())


def faults(run: Run) -> list[str]:
    """Why the run failed, one sentence each; empty when all is well."""
    found = [*_ledger_faults(run)]
    firing = [alert for alert in run.alerts if alert.status == "firing"]
    early = [
        alert
        for alert in run.alerts
        if epoch_ms(alert.evaluated_at) < DRIFT_MS and not _is_of_the_nulls(alert)
    ]
    found += [
        f"an alert before the drift: {alert.kind} of {alert.scope.feature or 'the model'} "
        f"at {alert.evaluated_at}"
        for alert in early
    ]
    if not any(_is_the_drift(alert) for alert in firing):
        found.append("the drift of car_value was not alerted")
    if staged.NULL_ROWS.start in run.rows and not any(map(_is_of_the_nulls, firing)):
        found.append(f"the nulls of {staged.NULL_FEATURE} were not alerted")
    if len(run.rows) == car_loan.ROWS and not any(a.kind == "label_delay" for a in firing):
        found.append("the outcomes that come later were not alerted")
    return found


def _is_of_the_nulls(alert: Alert) -> bool:
    return (
        alert.kind == "data_quality"
        and alert.scope.feature == staged.NULL_FEATURE
        and epoch_ms(alert.starts_at) >= NULLS_MS
    )


def _is_the_drift(alert: Alert) -> bool:
    return (
        alert.kind == "feature_drift"
        and alert.scope.feature == "car_value"
        and epoch_ms(alert.evaluated_at) >= DRIFT_MS
    )


def _ledger_faults(run: Run) -> list[str]:
    found = []
    for side, fates in FATES.items():
        terms = run.ledger[side]
        if terms["consumed"] != run.sent[side]:
            found.append(f"{side}: {run.sent[side]:,} sent, {terms['consumed']:,} consumed")
        if terms["consumed"] != sum(terms[name] for name in INTAKE):
            found.append(f"{side}: consumed is not {' + '.join(INTAKE)}: {terms}")
        if terms["applied"] != sum(terms[name] for name in fates):
            found.append(f"{side}: applied is not {' + '.join(fates)}: {terms}")
    return found


def lines(run: Run) -> list[str]:
    """The summary, one fact a line."""
    predictions, outcomes = run.ledger["predictions"], run.ledger["outcomes"]
    events = run.total("consumed")
    intake = " + ".join(f"{run.ledger[side]['consumed']:,} {side}" for side in FATES)
    judged = predictions["matured_labelled"] + predictions["matured_unlabelled"]
    coverage = f"{predictions['matured_labelled'] / judged:.1%}" if judged else "nothing matured"
    facts = [
        ("events in", f"{events:,} = {intake}"),
        ("joined", f"{outcomes['joined']:,}"),
        ("label coverage", f"{coverage} of {judged:,} matured predictions"),
        ("late", f"{run.total('late'):,}"),
        ("dead-lettered", f"{run.total('dead_lettered'):,}"),
        *((f"ledger: {side}", _equation(run.ledger[side], side)) for side in FATES),
        ("alerts", f"{len(run.alerts)}"),
        ("events/s", f"{events / run.seconds:,.0f} ({run.seconds:.1f} s)"),
    ]
    return [f"{name:<20}{fact}" for name, fact in facts]


def _equation(terms: dict[str, int], side: str) -> str:
    def part(names: tuple[str, ...]) -> str:
        return " + ".join(f"{terms[name]:,} {name}" for name in names if terms[name]) or "0"

    return (
        f"{terms['consumed']:,} consumed = {part(INTAKE)}; "
        f"{terms['applied']:,} applied = {part(FATES[side])}"
    )
