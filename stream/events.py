"""The public events (the contract) and the effects that the pure core asks its shell for."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec

Kind = Literal[
    "data_quality",
    "schema",
    "feature_drift",
    "prediction_drift",
    "concept_drift",
    "performance",
    "calibration",
    "latency",
    "throughput",
    "silence",
    "label_delay",
    "version",
    "pipeline",
]
Severity = Literal["info", "warning", "error", "critical"]
Action = Literal["fix_pipeline", "retrain", "rollback", "investigate", "none"]

Identifier = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]
Label = str | int | bool
LATEST_MS = 7_258_118_400_000  # 2200: what is later is no time but microseconds, or worse
EventTime = (
    Annotated[datetime, msgspec.Meta(tz=True)] | Annotated[int, msgspec.Meta(ge=0, lt=LATEST_MS)]
)
"""RFC 3339 with an offset (to the nearest microsecond, of which the whole milliseconds count), or
integer epoch milliseconds."""


class PredictedValue(msgspec.Struct, gc=False):
    """What the model said: a label and/or a score, or a value."""

    label: Label | None = None
    score: float | None = None
    value: float | None = None
    probabilities: dict[str, float] | None = None


class Prediction(msgspec.Struct, gc=False):
    """One prediction of a model version. Unknown fields are allowed."""

    prediction_id: Identifier
    model_id: Identifier
    model_version: Identifier
    predicted_at: EventTime
    prediction: PredictedValue
    features: dict[str, Any]
    role: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = "champion"
    segment: dict[str, str] | None = None
    feature_set: str | None = None
    latency_ms: float | None = None


class ActualValue(msgspec.Struct, gc=False):
    """The ground truth: a label, or a value (regression)."""

    label: Label | None = None
    value: float | None = None


class Outcome(msgspec.Struct, gc=False):
    """The (delayed) ground truth of a prediction. Unknown fields are allowed."""

    prediction_id: Identifier
    model_id: Identifier
    observed_at: EventTime
    actual: ActualValue
    revision: Annotated[int, msgspec.Meta(ge=0, le=2**62)] = 1
    retracted: bool = False


class AlertModel(msgspec.Struct):
    id: str
    version: str
    role: str


class AlertScope(msgspec.Struct):
    feature: str | None
    segment: str | None


class AlertDetector(msgspec.Struct):
    name: str
    params_hash: str
    statistic: float
    threshold: float
    budget_share: float
    direction: Literal["up", "down"]


class AlertWindow(msgspec.Struct):
    start: str
    end: str
    count: int


class AlertReference(msgspec.Struct):
    id: str
    count: int


class AlertEffect(msgspec.Struct):
    """Size of the change, in the series' own unit, with a 95 % interval."""

    estimate: float
    low: float
    high: float
    floor: float
    change_at: str


class AlertImpact(msgspec.Struct):
    metric: str | None
    value: float | None
    reference: float | None
    label_coverage: float | None


class AlertOwners(msgspec.Struct):
    accountable: str
    responsible: list[str]
    consulted: list[str]
    informed: list[str]


class Alert(msgspec.Struct):
    """One finding with a life cycle. Field order is the order of the bytes."""

    schema_version: int
    id: str
    fingerprint: str
    status: Literal["firing", "resolved"]
    sequence: int
    alertname: str
    kind: Kind
    severity: Severity
    starts_at: str
    ends_at: str | None
    evaluated_at: str
    model: AlertModel
    scope: AlertScope
    detector: AlertDetector
    window: AlertWindow
    reference: AlertReference
    effect: AlertEffect
    evidence: dict[str, dict[str, Any]]
    impact: AlertImpact
    incident_id: str
    owners: AlertOwners
    labels: dict[str, str]
    summary: str
    links: dict[str, str]
    recommended_action: Action
    config_hash: str


RequestType = Literal["fix_pipeline", "retrain", "rollback", "experiment"]


class RequestModel(msgspec.Struct):
    id: str
    version: str | None  # None: of the model as a whole
    role: str


class TrainingWindow(msgspec.Struct):
    """Event times of predictions; `start` null: since the reference of the version."""

    start: str | None
    end: str


class Request(msgspec.Struct):
    """Something to be done, asked for once for each cause. Field order is that of the bytes."""

    schema_version: int
    id: str
    type: RequestType
    fingerprint: str
    requested_at: str
    model: RequestModel
    feature: str | None
    incident_id: str | None
    reasons: list[dict[str, Any]]
    training_window: TrainingWindow | None
    target: str | None
    evidence: dict[str, Any]
    owners: AlertOwners
    labels: dict[str, str]
    summary: str
    links: dict[str, str]
    config_hash: str


class DeadLetter(msgspec.Struct):
    """A record that could not be used. The payload itself only where it was opted in."""

    schema_version: int
    reason: str
    detail: str
    topic: str
    partition: int
    offset: int
    timestamp_ms: int | None
    payload_sha256: str
    payload_bytes: int
    payload_base64: str | None = None


@dataclass(frozen=True, slots=True)
class Records:
    """Consecutive raw records of one topic partition, in offset order (parallel lists)."""

    topic: str
    partition: int
    offsets: list[int]
    timestamps_ms: list[int | None]
    values: list[bytes | None]


# Effects: what the shell must do, in this order, before it may acknowledge the input.


@dataclass(frozen=True, slots=True)
class ToPanes:
    """A block, an announcement or a note for one stage-2 partition."""

    partition: int
    value: bytes


@dataclass(frozen=True, slots=True)
class ToFindings:
    """A finding or an announcement for stage 3."""

    value: bytes


@dataclass(frozen=True, slots=True)
class ToJournal:
    """A decision for this stage's own journal partition."""

    value: bytes


@dataclass(frozen=True, slots=True)
class ToReferences:
    """A sealed reference; the key is its id."""

    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class ToAlerts:
    """An alert's bytes, for the alert topic and the compacted state topic (key: fingerprint)."""

    fingerprint: str
    sequence: int
    alert: Alert
    value: bytes
    order: tuple[Any, ...] = ()  # sorts alerts of different kinds, whenever each was released


@dataclass(frozen=True, slots=True)
class ToActions:
    """A request's bytes (key: its fingerprint)."""

    fingerprint: str
    request: Request
    value: bytes
    order: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ToDeadLetters:
    letter: DeadLetter
    value: bytes = field(repr=False)


Effect = ToPanes | ToFindings | ToJournal | ToReferences | ToAlerts | ToActions | ToDeadLetters
