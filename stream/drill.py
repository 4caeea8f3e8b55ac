"""`leeway drill`: a fault is put into a stream, and what is told of it, when, is measured.

The stream is the simulator's or a history, replayed through the worker's own stages from its
beginning, so that references are there; the fault begins at an event time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from stream.alert_lines import epoch_ms, line
from stream.demo.events import Event
from stream.drill_faults import Injection
from stream.events import Action, Alert, Kind, Records, Request
from stream.history import History
from stream.partitioning import partition_of
from stream.pipeline import Pipeline
from stream.settings import Settings
from stream.simulate.catalogue import FAULTS
from stream.simulate.simulation import Simulation
from stream.simulate.spec import Spec
from stream.source_stage import Side
from stream.times import iso

RELEASE_EVERY = 5_000  # records
Times = tuple[int, int]
"""Onset, and how long is waited."""
SHOWN = 5  # alerts of other incidents


@dataclass(frozen=True, slots=True)
class Wanted:
    """Of a fault any of these alerts will do."""

    kinds: tuple[Kind, ...]
    actions: tuple[Action, ...]
    feature: str | None = None

    def is_met_by(self, alert: Alert) -> bool:
        return alert.kind in self.kinds and alert.scope.feature == self.feature


@dataclass(frozen=True, slots=True)
class Report:
    """Times are event time since the onset, in milliseconds; None: never."""

    fault: str
    goals: Sequence[Wanted]
    onset_ms: int
    until_ms: int
    touched: int  # events
    alert: Alert | None  # the first that is of the fault
    incident: list[Alert]  # what fired of its incident, by time
    action: Alert | None  # the first of it that says what is to be done
    others: list[Alert]  # what fired since the onset of other incidents
    before: int  # alerts that had fired before
    request: Request | None = None  # the first on the actions topic that is of the incident

    @property
    def is_missed(self) -> bool:
        return self.alert is None or self.action is None

    def after_ms(self, alert: Alert | None) -> int | None:
        return None if alert is None else epoch_ms(alert.evaluated_at) - self.onset_ms

    @property
    def cause(self) -> str | None:
        """As the incident names it."""
        named = [alert for alert in self.incident if "cause" in alert.evidence]
        return named[0].summary.partition("; ")[2] if named else None

    def facts(self) -> dict[str, Any]:
        found, action = self.alert, self.action
        root = self.incident[0] if self.incident else None
        return {
            "fault": self.fault,
            "onset": iso(self.onset_ms),
            "until": iso(self.until_ms),
            "events_touched": self.touched,
            "missed": self.is_missed,
            "to_alert_s": _seconds(self.after_ms(found)),
            "to_incident_s": _seconds(self.after_ms(root)),
            "to_action_s": _seconds(self.after_ms(action)),
            "alert": None if found is None else _shown(found),
            "action": None if action is None else action.recommended_action,
            "cause": self.cause,
            "request": None if self.request is None else self.request.type,
            "owner": None if action is None else action.owners.accountable,
            "incident": [_shown(alert) for alert in self.incident],
            "others": [_shown(alert) for alert in self.others],
            "before": self.before,
        }

    def lines(self) -> list[str]:
        """For people."""
        found, action = self.alert, self.action
        told = f"{self.fault} from {iso(self.onset_ms)} on, {self.touched:,} events touched"
        facts = [("fault", told)]
        if found is None:
            facts.append(("alert", f"none until {iso(self.until_ms)}: MISSED"))
        else:
            root = self.incident[0]
            facts.append(("alert", f"{_after(self.after_ms(found))}: {line(found)}"))
            many = f"{len(self.incident)} alerts, first {root.alertname}"
            facts.append(("incident", f"{_after(self.after_ms(root))}: {many}"))
            facts += [("cause", cause)] if (cause := self.cause) else []
            if action is None:
                done = f"none of those expected, but {found.recommended_action}: MISSED"
            else:
                owner = action.owners.accountable
                done = (
                    f"{_after(self.after_ms(action))}: {action.recommended_action}, owner {owner}"
                )
            facts.append(("action", done))
            if self.request is not None:
                asked_ms = epoch_ms(self.request.requested_at) - self.onset_ms
                facts.append(("request", f"{_after(asked_ms)}: {self.request.type}"))
        facts += [("beside it", line(alert)) for alert in self.others[:SHOWN]]
        facts.append(("others", f"{len(self.others)} since the onset, {self.before} before"))
        return [f"{name:<12}{fact}" for name, fact in facts]


def simulated(settings: Settings, spec: Spec) -> Report:
    """`spec` has one fault."""
    return played(_pipeline(settings, None), spec)


def played(pipeline: Pipeline, spec: Spec) -> Report:
    """The same in a pipeline of one's own."""
    simulation = Simulation(spec)
    offsets: dict[tuple[Side, int], int] = {}
    for predictions, outcomes in simulation.blocks():
        _deal(pipeline, "predictions", predictions, offsets)
        _deal(pipeline, "outcomes", outcomes, offsets)
    pipeline.end_of_input(None)
    fault = simulation.truth()["faults"][0]
    goals = [
        Wanted(tuple(each["kinds"]), tuple(each["actions"]), each["feature"])
        for each in fault["expected"]
    ]
    text = f"{fault['kind']}{'' if fault['target'] is None else ':' + fault['target']}"
    times = epoch_ms(fault["onset"]), spec.end_ms
    report = judged(_alerts(pipeline), goals, text, fault["affected"]["count"], times)
    return _with_request(report, pipeline)


def recorded(settings: Settings, history: History, injection: Injection, until_ms: int) -> Report:
    """Raises what reading a history raises."""
    pipeline = _pipeline(settings, injection)
    history.feed(pipeline, lambda _more, _total: None)
    fault = injection.fault
    kind = FAULTS[fault.kind]
    kinds: tuple[Kind, ...] = getattr(kind, "kinds", ())
    actions: tuple[Action, ...] = ("fix_pipeline",)
    if fault.kind in {"latency", "labels_stop"}:
        kinds = ("latency",) if fault.kind == "latency" else ("label_delay", "silence")
        actions = ("investigate", "fix_pipeline")
    elif fault.kind == "skew":
        actions = ("fix_pipeline", "investigate")
    features = injection.names if injection.names != [""] else [None]
    wanted = [Wanted(kinds, actions, name) for name in features]
    text = f"{fault.kind}{'' if fault.target is None else ':' + fault.target}"
    onset_ms, touched = injection.onset_ms, injection.touched
    report = judged(_alerts(pipeline), wanted, text, touched, (onset_ms, until_ms))
    return _with_request(report, pipeline)


def judged(
    alerts: Sequence[Alert], goals: Sequence[Wanted], fault: str, touched: int, times: Times
) -> Report:
    """Alerts by time; those after the end do not count."""
    onset_ms, until_ms = times
    fired = [alert for alert in alerts if alert.status == "firing"]
    before = [a for a in fired if a.sequence == 1 and epoch_ms(a.evaluated_at) <= onset_ms]
    since = [a for a in fired if onset_ms < epoch_ms(a.evaluated_at) <= until_ms]
    found = next((a for a in since if any(one.is_met_by(a) for one in goals)), None)
    incident = [] if found is None else [a for a in since if a.incident_id == found.incident_id]
    actions = {action for one in goals for action in one.actions}
    action = next((a for a in incident if a.recommended_action in actions), None)
    others = [a for a in since if a.sequence == 1 and a not in incident]
    members = [a for a in incident if a.sequence == 1] or incident[:1]
    return Report(
        fault, goals, onset_ms, until_ms, touched, found, members, action, others, len(before)
    )


def _with_request(report: Report, pipeline: Pipeline) -> Report:
    """What was asked for of the incident, on the actions topic."""
    ids = {alert.incident_id for alert in report.incident}
    asked = (action.request for action in pipeline.sorted_actions())
    found = next((one for one in asked if one.incident_id in ids), None)
    return replace(report, request=found)


def _alerts(pipeline: Pipeline) -> list[Alert]:
    return [told.alert for told in pipeline.sorted_alerts()]


def _pipeline(settings: Settings, injection: Injection | None) -> Pipeline:
    rules, partitions = settings.rules(), settings.partitions
    if injection is None:
        return Pipeline(rules, partitions, release_every=RELEASE_EVERY)
    drilled = Drilled(rules, partitions, release_every=RELEASE_EVERY)
    drilled.injection = injection
    return drilled


class Drilled(Pipeline):
    """What is fed to it has the fault."""

    injection: Injection

    def predictions(self, records: Records) -> None:
        super().predictions(self.injection.predictions(records))

    def outcomes(self, records: Records) -> None:
        super().outcomes(self.injection.outcomes(records))


def _deal(
    pipeline: Pipeline,
    side: Side,
    events: Sequence[Event],
    offsets: dict[tuple[Side, int], int],
) -> None:
    dealt: dict[int, list[Event]] = {}
    for event in events:
        dealt.setdefault(partition_of(event.key, len(pipeline.sources)), []).append(event)
    for partition, mine in sorted(dealt.items()):
        first = offsets.get((side, partition), 0)
        offsets[side, partition] = first + len(mine)
        records = Records(
            topic=side,
            partition=partition,
            offsets=list(range(first, first + len(mine))),
            timestamps_ms=[event.arrival_ms for event in mine],
            values=[event.value for event in mine],
        )
        (pipeline.predictions if side == "predictions" else pipeline.outcomes)(records)


def _shown(alert: Alert) -> dict[str, Any]:
    return {
        "alertname": alert.alertname,
        "kind": alert.kind,
        "severity": alert.severity,
        "feature": alert.scope.feature,
        "evaluated_at": alert.evaluated_at,
        "recommended_action": alert.recommended_action,
        "summary": alert.summary,
    }


def _seconds(span_ms: int | None) -> float | None:
    return None if span_ms is None else span_ms / 1000


def _after(span_ms: int | None) -> str:
    minutes, seconds = divmod(round((span_ms or 0) / 1000), 60)
    hours, minutes = divmod(minutes, 60)
    spoken = [f"{hours} h"] if hours else []
    spoken += [f"{minutes} min"] if minutes else []
    return "after " + " ".join([*spoken, f"{seconds} s"] if not hours else spoken)
