"""The configuration: `leeway.yaml`, `LEEWAY_…` variables and flags, read once at the edge.

Precedence: flag > environment > file > default. Unknown keys are errors, and every error
is reported at once with its path. `Settings.rules()` is the part that gives events their
meaning; everything else (brokers, ports, timings) never changes `config_hash`.
"""

from __future__ import annotations

import os
import re
from collections.abc import Hashable, Mapping
from datetime import timedelta
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import Field, ValidationError, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings.exceptions import SettingsError as SourceError

from stream.rules import (
    DAY_MS,
    HOUR_MS,
    SEASON_HOURS,
    Maturity,
    ModelRule,
    Owners,
    RateRule,
    ReferenceRule,
    Rules,
    Season,
)
from stream.setting_detection import (
    BudgetSettings,
    DetectorSettings,
    FloorSettings,
    Section,
    ThresholdSettings,
    TrafficSettings,
)
from stream.setting_lifecycle import RequiresSetting, RetrainSettings
from stream.setting_owners import escalation_rule
from stream.setting_sections import (
    AlertSettings,
    CheckpointSettings,
    DeadLetterSettings,
    KafkaSettings,
    LimitSettings,
    ModelReferenceSettings,
    ModelSettings,
    OutcomeSettings,
    ReferenceSettings,
    SampleSettings,
    TopicSettings,
    WebSettings,
)
from stream.setting_types import (
    Count,
    Duration,
    DurationOrNone,
    PartitionCount,
    PositiveDuration,
    ReplicaCount,
    duration_text,
    ms,
    whole_ms,
)

_DEFAULT = Rules()
INTERNAL_TOPICS = ("panes", "findings", "journal", "references")


class SettingsError(Exception):
    """The configuration cannot be used; `errors` holds one `path: message` per fault."""

    def __init__(self, errors: list[str]) -> None:
        super().__init__("\n".join(errors))
        self.errors = errors


class Settings(Section):
    """Everything that can be configured. `Settings()` is the default configuration."""

    app: str = Field(default="leeway", pattern=r"^[a-zA-Z0-9._-]{1,64}$")
    kafka: KafkaSettings = KafkaSettings()
    topics: TopicSettings = TopicSettings()
    partitions: PartitionCount = 4
    replication: ReplicaCount = 1
    pane: PositiveDuration = whole_ms(_DEFAULT.pane_ms)
    grace: Duration = whole_ms(_DEFAULT.grace_ms)
    future: DurationOrNone = Field(
        default=timedelta(hours=1),
        description="How far a record may lie ahead of its record timestamp.",
    )
    idle: PositiveDuration = timedelta(seconds=5)
    alignment: Count = Field(
        default=20_000, description="Panes a partition may be ahead of the others."
    )
    outcomes: OutcomeSettings = OutcomeSettings()
    reference: ReferenceSettings = ReferenceSettings()
    season: Season = Field(
        default="none", description="What values come and go with: the hours of a day, of a week."
    )
    budget: BudgetSettings = BudgetSettings()
    floors: FloorSettings = FloorSettings()
    detectors: DetectorSettings = DetectorSettings()
    thresholds: ThresholdSettings = ThresholdSettings()
    traffic: TrafficSettings = TrafficSettings()
    alerts: AlertSettings = AlertSettings()
    retrain: RetrainSettings = RetrainSettings()
    requires: RequiresSetting = Field(
        default="auto",
        description="What a version must have that answers predictions; auto: all of it, if it is "
        "deployed beside another one, or behind it.",
    )
    dead_letters: DeadLetterSettings = DeadLetterSettings()
    limits: LimitSettings = LimitSettings()
    sample: SampleSettings = SampleSettings()
    checkpoint: CheckpointSettings = CheckpointSettings()
    web: WebSettings = WebSettings()
    shared_features: dict[str, tuple[str, ...]] = Field(
        default={},
        description="Features from one upstream, each with its models; the first answers for it.",
    )
    models: dict[str, ModelSettings] = Field(
        default={}, description="Others are dead letters, if any."
    )

    @model_validator(mode="after")
    def _internal_topics_are_apart(self) -> Self:
        public = self.topics.model_dump().values()
        clash = [name for name in map(self.internal_topic, INTERNAL_TOPICS) if name in public]
        if clash:
            raise ValueError(
                f"topic {clash[0]} is internal (<app>-…): name the public one otherwise"
            )
        return self

    @model_validator(mode="after")
    def _maturity_within_horizon(self) -> Self:
        for name, model in self.models.items():
            if isinstance(model.maturity, timedelta) and model.maturity > self.outcomes.horizon:
                raise ValueError(f"models.{name}.maturity is beyond outcomes.horizon")
        return self

    @model_validator(mode="after")
    def _ages_are_below_maturity(self) -> Self:
        maturity = self.outcomes.maturity
        of = [("outcomes", self.outcomes.ages, maturity)]
        for name, model in self.models.items():
            own = maturity if model.maturity is None else model.maturity
            of.append((f"models.{name}", model.ages or (), own))
        for place, ages, limit in of:
            if ages and limit == "none":
                raise ValueError(f"{place}.ages: nothing is judged: its maturity is none")
            most = limit if isinstance(limit, timedelta) else self.outcomes.horizon
            if ages and ages[-1] >= most:
                what = "maturity" if isinstance(limit, timedelta) else "outcomes.horizon"
                raise ValueError(f"{place}.ages: {duration_text(ages[-1])} is not below its {what}")
        return self

    @model_validator(mode="after")
    def _readers_are_models(self) -> Self:
        for feature, readers in self.shared_features.items():
            if len(set(readers)) < max(len(readers), 2):
                raise ValueError(f"shared_features.{feature}: name two models or more, each once")
            unknown = [name for name in readers if self.models and name not in self.models]
            if unknown:
                raise ValueError(f"shared_features.{feature}: no model {', '.join(unknown)}")
        return self

    @model_validator(mode="after")
    def _references_hold_two_seasons(self) -> Self:
        rules = self.rules()
        for name in ("", *self.models):
            place = f"models.{name}." if name else ""
            least_ms = 2 * SEASON_HOURS[rules.season_of(name)] * HOUR_MS
            if rules.reference_of(name).span_ms < least_ms:
                days = least_ms // DAY_MS
                raise ValueError(
                    f"{place}reference.span: a season needs two of it: {days}d at least"
                )
        return self

    @model_validator(mode="after")
    def _seasons_are_known_to_all_that_spend(self) -> Self:
        rules = self.rules()
        of = [name for name in ("", *self.models) if rules.season_of(name) != "none"]
        calibrated = {
            "adwin": ("delta", rules.adwin.enabled and rules.adwin.delta is None),
            "page_hinkley": (
                "threshold",
                rules.page_hinkley.enabled and rules.page_hinkley.threshold is None,
            ),
        }
        for detector, (own, spends) in calibrated.items():
            if of and spends:
                place = f"models.{of[0]}.season" if of[0] else "season"
                raise ValueError(
                    f"detectors.{detector}: it knows no hours, so what comes and goes by {place} "
                    f"would break the budget: disable it, or set a {own} of your own"
                )
        return self

    def internal_topic(self, name: str) -> str:
        """`<app>-panes` and its siblings, by the names of `INTERNAL_TOPICS`."""
        return f"{self.app}-{name}"

    @property
    def has_no_owner(self) -> bool:
        """No model is configured: alerts say `unassigned`, and every run should say so too."""
        return not self.models

    def gaps(self) -> list[str]:
        """What is missing of who owns what: a line with its path for each, none an error."""
        return [
            f"models.{name}.owners.{gap}"
            for name, model in sorted(self.models.items())
            for gap in model.owners.gaps()
        ]

    def deployments_lack(self) -> list[str]:
        """What each version that is deployed would be told to lack, beside the gaps."""
        rules = self.rules()
        return [
            f"models.{name}.objectives, budget, floors or thresholds"
            for name in sorted(self.models)
            if rules.holds_deployments(name) and not rules.model(name).has_thresholds
        ]

    def rules(self) -> Rules:
        """The part of the configuration that the core knows."""
        return Rules(
            pane_ms=ms(self.pane),
            grace_ms=ms(self.grace),
            future_bound_ms=None if self.future == "none" else ms(self.future),
            maturity=_maturity(self.outcomes.maturity),
            horizon_ms=ms(self.outcomes.horizon),
            ages=tuple(map(ms, self.outcomes.ages)),
            reference=ReferenceRule(self.reference.predictions, ms(self.reference.span)),
            season=self.season,
            budget=self.budget.rule(),
            floors=self.floors.rule(),
            adwin=self.detectors.adwin.rule(self.detectors.river),
            page_hinkley=self.detectors.page_hinkley.rule(self.detectors.river),
            rates=RateRule(**self.detectors.rates.model_dump()),
            joint=self.detectors.joint.rule(),
            proven=self.detectors.proven,
            thresholds=self.thresholds.rule(),
            traffic=self.traffic.rule(),
            minimum_values=self.detectors.minimum,
            resolve_after_panes=self.alerts.resolve_after,
            resolve_values=self.alerts.resolve_values,
            cooldown_ms=ms(self.alerts.cooldown),
            ask_after_ms=ms(self.alerts.ask_after),
            escalate=escalation_rule(self.alerts.escalate),
            retrain=self.retrain.rule(),
            requires=self.requires,
            shared=tuple((name, of) for name, of in sorted(self.shared_features.items())),
            pane_rows=self.sample.pane,
            window_rows=self.sample.window,
            max_record_bytes=self.limits.record_bytes,
            max_features=self.limits.features,
            max_categories=self.limits.categories,
            max_segments=self.limits.segments,
            max_pending=self.limits.pending,
            max_ids=self.limits.ids,
            max_outcomes=self.limits.outcomes,
            max_groups=self.limits.groups,
            forget_ms=ms(self.limits.forget),
            models={name: self._model_rule(model) for name, model in self.models.items()},
        )

    def _model_rule(self, model: ModelSettings) -> ModelRule:
        return ModelRule(
            owners=Owners(**model.owners.model_dump()),
            runbook_url=model.runbook_url,
            maturity="inherit" if model.maturity is None else _maturity(model.maturity),
            reference=self._reference_rule(model.reference),
            season=model.season,
            labels=tuple(sorted(model.labels.items())),
            budget=model.budget.rule(self.budget),
            floors=model.floors.rule(self.floors),
            classes=tuple(sorted(set(model.classes))),
            costs=model.cost_rule(),
            proven=model.proven,
            ages=None if model.ages is None else tuple(map(ms, model.ages)),
            escalate=None if model.escalate is None else escalation_rule(model.escalate),
            retrain=None if model.retrain is None else model.retrain.rule(),
            versions=model.version_rules(),
            requires=model.requires,
            objectives=tuple(one.rule() for one in model.objectives),
            thresholds=model.thresholds.of_model(self.thresholds),
            segments=tuple(dict.fromkeys(model.segments)),
            feature_sets=None if model.feature_sets else False,
            traffic=model.traffic.rule(self.traffic),
            latency=model.latency.rule(),
            shadow=model.shadow.rule(),
            subject=model.subject,
            rollback=model.rollback.rule(),
            experiments=tuple(of.rule(name) for name, of in sorted(model.experiments.items())),
        )

    def _reference_rule(self, own: ModelReferenceSettings) -> ReferenceRule | None:
        if own == ModelReferenceSettings():
            return None
        span = self.reference.span if own.span is None else own.span
        return ReferenceRule(own.predictions or self.reference.predictions, ms(span))


def load(path: Path | None = None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings of a file (None: no file), `LEEWAY_…` variables and flags (nested as the file).

    Raises SettingsError with every fault of every source at once.
    """
    from_file = {} if path is None else _read(path)
    unknown = _unknown_variables()

    class Sources(Settings, BaseSettings):
        model_config = SettingsConfigDict(
            env_prefix="LEEWAY_", env_nested_delimiter="__", extra="forbid", frozen=True
        )

        @classmethod
        def settings_customise_sources(
            cls,
            settings_cls: type[BaseSettings],
            init_settings: PydanticBaseSettingsSource,
            env_settings: PydanticBaseSettingsSource,
            dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 the signature is theirs
            file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        ) -> tuple[PydanticBaseSettingsSource, ...]:
            file_settings = InitSettingsSource(settings_cls, init_kwargs=from_file)
            return init_settings, env_settings, file_settings

    try:
        settings = Sources(**(overrides or {}))
    except ValidationError as invalid:
        raise SettingsError([*map(_line, invalid.errors()), *unknown]) from None
    except SourceError as unreadable:
        raise SettingsError([f"environment: {unreadable}", *unknown]) from None
    if unknown:
        raise SettingsError(unknown)
    return settings


def _maturity(age: timedelta | Literal["auto", "none"]) -> Maturity:
    if isinstance(age, timedelta):
        return ms(age)
    return "auto" if age == "auto" else None


class _Loader(yaml.SafeLoader):
    """YAML in which a key given twice is an error, not the last one's win."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((key for key in keys if keys.count(key) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(
                None, None, f"key {twice!r} is given twice", node.start_mark
            )
        return super().construct_mapping(node, deep)


# the loader converts by int(), float() and date() and lets their errors pass
_UNREADABLE = (yaml.YAMLError, ValueError, LookupError, AttributeError, RecursionError)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 a SafeLoader
    except OSError as error:
        raise SettingsError([f"{path}: {(error.strerror or str(error)).lower()}"]) from None
    except _UNREADABLE as error:
        raise SettingsError([f"{path}: {' '.join(str(error).split())}"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise SettingsError([f"{path}: must be a mapping of settings"])
    return content


def _unknown_variables() -> list[str]:
    """Misspelt variables; a Kubernetes service named leeway sets LEEWAY_PORT… and others."""
    ours = re.compile(r"LEEWAY_(?!TEST_|PYTHON$|PORT|SERVICE_)(.+)", re.IGNORECASE)
    known = set(Settings.model_fields)
    found = [(name, match[1]) for name in os.environ if (match := ours.fullmatch(name))]
    return [
        f"{name}: unknown setting"
        for name, rest in sorted(found)
        if rest.lower().split("__")[0] not in known
    ]


_BLANK = "must not be blank"
_PATTERNS = {
    "accountable": _BLANK,
    "runbook_url": "must start with http:// or https://",
    "bootstrap": "must be host:port, or several of them with commas between",
}
_REQUIRED = {
    "accountable": "required: the person or team that answers for this model",
    "runbook_url": "required: where the person who is alerted reads what to do",
}


def _line(error: Any) -> str:
    *_, key = error["loc"] or ("",)
    match error["type"]:
        case "missing":
            message = _REQUIRED.get(str(key), "required")
        case "string_pattern_mismatch" if key in _PATTERNS:
            message = _PATTERNS[key]
        case "string_pattern_mismatch" if "owners" in error["loc"]:
            message = f"a name {_BLANK}"
        case "extra_forbidden":
            message = "unknown key" + _suggestion(error["loc"])
        case _:
            message = error["msg"].removeprefix("Value error, ")
    path = ".".join(map(str, error["loc"]))
    return f"{path}: {message}" if path else message


def _suggestion(loc: tuple[str | int, ...]) -> str:
    section: Any = Settings
    for step in loc[:-1]:
        field = getattr(section, "model_fields", {}).get(step)
        section = (
            ModelSettings if section == dict[str, ModelSettings] else field and field.annotation
        )
    near = get_close_matches(str(loc[-1]), getattr(section, "model_fields", {}), n=1)
    return f" (did you mean {near[0]}?)" if near else ""
