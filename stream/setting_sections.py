"""The sections of `leeway.yaml`, one class each; `settings.py` puts them together."""

from __future__ import annotations

import ipaddress
from datetime import timedelta
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationInfo,
    field_validator,
    model_validator,
)

from stream.rules import Rules, Season, VersionRule
from stream.setting_comparisons import ExperimentSettings, RollbackSettings, ShadowSettings
from stream.setting_detection import (
    LatencySettings,
    ModelBudgetSettings,
    ModelFloorSettings,
    ModelTrafficSettings,
    Section,
    ThresholdSettings,
)
from stream.setting_lifecycle import Objectives, RequiresSetting, RetrainSettings, VersionSettings
from stream.setting_owners import Escalation, Name, OwnerSettings
from stream.setting_types import (
    Ages,
    Bytes,
    Cost,
    Count,
    Duration,
    LabelText,
    MaturityAge,
    Port,
    PositiveDuration,
    SegmentNames,
    ShareOrAll,
    duration_text,
    whole_ms,
)

_DEFAULT = Rules()  # the core's defaults are the only ones: a second list would drift
_CHECKED_NONE: Any = Field(default=None, validate_default=True)

TopicName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9._-]{1,249}$")]
SecurityProtocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:  # a name other than localhost
        return False


class KafkaSettings(Section):
    """How to reach the broker."""

    bootstrap: str = Field(default="localhost:9092", pattern=r"^[^\s:,]+:\d+(,[^\s:,]+:\d+)*$")
    security_protocol: SecurityProtocol = "PLAINTEXT"
    ssl_cafile: str | None = None
    ssl_certfile: str | None = None
    ssl_keyfile: str | None = _CHECKED_NONE
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None = _CHECKED_NONE
    sasl_username: str | None = _CHECKED_NONE
    sasl_password: SecretStr | None = _CHECKED_NONE
    allow_plaintext_beyond_loopback: bool = Field(default=False, validate_default=True)
    instance_id: str | None = Field(
        default=None,
        pattern=r"^[a-zA-Z0-9._-]{1,249}$",
        description="A name of this worker that outlives its process: static membership.",
    )
    session_timeout: PositiveDuration = Field(
        default=timedelta(seconds=6), description="Silence after which a worker is replaced."
    )
    rebalance_timeout: PositiveDuration = Field(
        default=timedelta(seconds=6), description="For every worker to give back what it has."
    )
    heartbeat: PositiveDuration = Field(default=timedelta(seconds=1), validate_default=True)

    @field_validator("heartbeat")
    @classmethod
    def _several_a_session(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        session = info.data.get("session_timeout")
        if session is not None and 3 * value > session:
            raise ValueError(f"at most a third of session_timeout ({duration_text(session)})")
        return value

    @field_validator("sasl_mechanism", "sasl_username", "sasl_password")
    @classmethod
    def _sasl_is_complete(cls, value: object, info: ValidationInfo) -> object:
        protocol = info.data.get("security_protocol", "")
        if protocol.startswith("SASL") and not value:
            raise ValueError(f"required with security_protocol {protocol}")
        return value

    @field_validator("ssl_keyfile")
    @classmethod
    def _a_certificate_has_a_key(cls, value: str | None, info: ValidationInfo) -> str | None:
        if bool(value) != bool(info.data.get("ssl_certfile")):
            raise ValueError("ssl_certfile and ssl_keyfile are given together")
        return value

    @field_validator("allow_plaintext_beyond_loopback")
    @classmethod
    def _plaintext_stays_home(cls, value: bool, info: ValidationInfo) -> bool:
        plaintext = info.data.get("security_protocol") in {"PLAINTEXT", "SASL_PLAINTEXT"}
        hosts = [host.rpartition(":")[0] for host in info.data.get("bootstrap", "").split(",")]
        beyond = [host for host in hosts if host and not _is_loopback(host)]
        if plaintext and beyond and not value:
            raise ValueError(
                f"{beyond[0]} would be reached unencrypted: "
                "set security_protocol SSL or SASL_SSL, or set this to true"
            )
        return value


class TopicSettings(Section):
    """Names of the public topics."""

    predictions: TopicName = "leeway.predictions"
    outcomes: TopicName = "leeway.outcomes"
    control: TopicName = "leeway.control"
    alerts: TopicName = "leeway.alerts"
    alerts_state: TopicName = "leeway.alerts.state"
    actions: TopicName = "leeway.actions"
    dead_letters: TopicName = "leeway.dead-letters"

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        names = list(self.model_dump().values())
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is used for two topics")
        return self


class OutcomeSettings(Section):
    """When a prediction is judged, and how long its outcome may take."""

    maturity: MaturityAge = "auto"
    horizon: PositiveDuration = Field(default=whole_ms(_DEFAULT.horizon_ms), validate_default=True)
    ages: Ages = Field(
        default=(), description="Further ages, below the maturity, at which predictions are judged."
    )

    @field_validator("horizon")
    @classmethod
    def _beyond_maturity(cls, value: timedelta, info: ValidationInfo) -> timedelta:
        maturity = info.data.get("maturity")
        if isinstance(maturity, timedelta) and maturity > value:
            raise ValueError(
                f"outcomes.maturity {duration_text(maturity)} is beyond it ({duration_text(value)})"
            )
        return value


class ReferenceSettings(Section):
    """A reference is sealed at this count and this span, whichever is reached last."""

    predictions: Count = _DEFAULT.reference.predictions
    span: Duration = whole_ms(_DEFAULT.reference.span_ms)


class ModelReferenceSettings(Section):
    """As `reference`, for one model; what is left out is as for every model."""

    predictions: Count | None = None
    span: Duration | None = None


class AlertSettings(Section):
    resolve_after: Count = Field(
        default=_DEFAULT.resolve_after_panes,
        description="Panes without a change before an alert of ADWIN or Page-Hinkley may end.",
    )
    resolve_values: Count = Field(
        default=_DEFAULT.resolve_values,
        description="Values that together lie within the floor before an alert is resolved.",
    )
    cooldown: Duration = Field(
        default=whole_ms(_DEFAULT.cooldown_ms),
        description="An alert that comes back within it belongs to the incident it was of.",
    )
    ask_after: PositiveDuration = Field(
        default=whole_ms(_DEFAULT.ask_after_ms),
        description="Of firing, after which the owner is asked to accept a new reference.",
    )
    escalate: Escalation = Field(
        default=(), description="Who else is told what nobody has acknowledged, step by step."
    )


class DeadLetterLimit(Section):
    """The worker stops when more than `ratio` of the last `window` records are dead letters."""

    ratio: ShareOrAll = 0.5
    window: Count = 10_000
    minimum: Count = Field(default=1_000, description="Dead letters below which it never stops.")


class DeadLetterSettings(Section):
    payload: bool = Field(
        default=False, description="Whether a dead letter carries the record itself."
    )
    limit: DeadLetterLimit = DeadLetterLimit()


class LimitSettings(Section):
    """Caps that keep memory bounded whatever arrives."""

    record_bytes: Bytes = _DEFAULT.max_record_bytes
    features: Count = _DEFAULT.max_features
    categories: Count = _DEFAULT.max_categories
    pending: Count = Field(
        default=_DEFAULT.max_pending,
        description="Predictions waiting for maturity, per source partition.",
    )
    ids: Count = Field(
        default=_DEFAULT.max_ids,
        description="Remembered ids, per source partition and side.",
    )
    outcomes: Count = Field(
        default=_DEFAULT.max_outcomes,
        description="Outcomes waiting for predictions, per source partition.",
    )
    segments: Count = Field(
        default=_DEFAULT.max_segments,
        description="Values of a segment, the first of a source partition; the rest are one.",
    )
    groups: Count = Field(
        default=_DEFAULT.max_groups,
        description="Versions and roles of models watched at a time, per partition of stage 2.",
    )
    forget: PositiveDuration = Field(
        default=whole_ms(_DEFAULT.forget_ms),
        description="A version without predictions for longer is forgotten.",
    )
    series: Count = Field(default=5_000, description="Series in /metrics; the rest are counted.")


class SampleSettings(Section):
    """Rows kept by bottom-k sampling."""

    pane: Count = _DEFAULT.pane_rows
    window: Count = _DEFAULT.window_rows


class CheckpointSettings(Section):
    """State is written when it is this old or this large."""

    interval: PositiveDuration = timedelta(seconds=2)
    bytes: Bytes = Field(default=16_000_000, description="Of input.")
    bytes_per_s: Bytes = Field(
        default=4_000_000,
        description="What a worker's checkpoints may write; beyond it they are written less often.",
    )
    accept_lost_records: bool = Field(
        default=False,
        description="Whether to go on where retention deleted records before they were applied.",
    )


class WebSettings(Section):
    """Where /metrics is served."""

    host: str = "127.0.0.1"
    port: Port = 6066


_NO_OWNER = BeforeValidator(lambda value: {} if value is None else value)


class ModelSettings(Section):
    """What differs for one model; its owner and runbook are required."""

    model_config = ConfigDict(json_schema_extra={"required": ["owners", "runbook_url"]})

    # Absent owners are validated as empty ones: the error's path is `owners.accountable`.
    owners: Annotated[OwnerSettings, _NO_OWNER] = _CHECKED_NONE
    runbook_url: str = Field(pattern=r"^https?://\S+$")
    maturity: MaturityAge | None = None
    ages: Ages | None = Field(default=None, description="Further ages; left out: as for all.")
    reference: ModelReferenceSettings = ModelReferenceSettings()
    season: Season | None = None
    budget: ModelBudgetSettings = ModelBudgetSettings()
    floors: ModelFloorSettings = ModelFloorSettings()
    labels: dict[str, str] = Field(default={})
    classes: tuple[LabelText, ...] = Field(
        default=(),
        description="Labels whose recall and false-positive rate are watched.",
    )
    costs: dict[LabelText, dict[LabelText, Cost]] = Field(
        default={},
        description="Of a prediction, by what was true and by what was said; 0 where left out.",
    )

    thresholds: ThresholdSettings = ThresholdSettings()
    escalate: Escalation | None = Field(
        default=None, description="Instead of alerts.escalate; null: as for all."
    )
    retrain: RetrainSettings | None = Field(
        default=None, description="Instead of retrain; null: as for all."
    )
    versions: dict[Name, VersionSettings] = Field(
        default={}, description="What is known of single versions."
    )
    objectives: Objectives = Field(
        default=(), description="What is acceptable; alerts on outcomes say what is spent of it."
    )
    requires: RequiresSetting | None = Field(
        default=None, description="What its versions must have; null: as for all."
    )
    proven: bool | None = Field(
        default=None, description="Whether rates are under the e-detector; null: as for all."
    )

    segments: tuple[SegmentNames, ...] = Field(
        default=(),
        description="Watched one by one: names of the event's segment, or two that are crossed.",
    )
    feature_sets: bool = Field(
        default=True, description="Whether new versions of feature sets are looked for."
    )
    traffic: ModelTrafficSettings = ModelTrafficSettings()
    latency: LatencySettings = LatencySettings()
    shadow: ShadowSettings = ShadowSettings()
    subject: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The feature that says whom a prediction is of: variants are dealt to these.",
    )
    experiments: dict[str, ExperimentSettings] = Field(default={})
    rollback: RollbackSettings = RollbackSettings()

    @model_validator(mode="after")
    def _objectives_are_of_what_is_watched(self) -> Self:
        for objective in self.objectives:
            if objective.metric == "cost" and not self.costs:
                raise ValueError("objectives: a cost is acceptable only with costs")
            if objective.of_class is not None and objective.of_class not in self.classes:
                raise ValueError(f"objectives: {objective.of_class} is none of classes")
            if objective.segment and tuple(sorted(objective.segment)) not in self.segments:
                text = ", ".join(objective.segment)
                raise ValueError(f"objectives: {text} is none of segments")
        named = [(one.metric, one.of_class, *one.segment.items()) for one in self.objectives]
        if len({*named}) < len(named):
            raise ValueError("objectives: one metric has two")
        return self

    @model_validator(mode="after")
    def _rolls_back_to_another(self) -> Self:
        for version, known in self.versions.items():
            if known.rollback_to == version:
                raise ValueError(f"versions.{version}.rollback_to is the version itself")
        return self

    @model_validator(mode="after")
    def _has_costs_to_compare(self) -> Self:
        named = {name: of.metric for name, of in self.experiments.items()}
        by_cost = [f"experiments.{name}" for name, metric in named.items() if metric == "cost"]
        by_cost += ["rollback"] if self.rollback.metric == "cost" else []
        if by_cost and not self.costs:
            raise ValueError(f"{by_cost[0]}.metric: cost needs costs")
        return self

    def version_rules(self) -> tuple[tuple[str, VersionRule], ...]:
        return tuple((name, known.rule()) for name, known in sorted(self.versions.items()))

    def cost_rule(self) -> tuple[tuple[str, str, float], ...]:
        return tuple(
            (true, said, cost)
            for true, of in sorted(self.costs.items())
            for said, cost in sorted(of.items())
        )
