"""Everything in the configuration that changes what an event means, and nothing else.

Brokers, ports, paths and timings of the process are not here: two workers with equal
`Rules` make equal bytes. `config_hash` is the hash of exactly these fields.

What stored state depends on (`state_hash`; of a model its maturity, reference, classes and costs)
is fixed for an `app`. The rest may change at a pane: see `rule_book`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import msgspec

from stream.events import Severity

SECOND_MS = 1_000
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS

CHAMPION, SHADOW = "champion", "shadow"  # roles

Maturity = int | None | Literal["auto"]
"""Age in ms at which a prediction is judged; None: never; "auto": decided from the data."""

Season = Literal["none", "day", "week"]
"""What values come and go with."""

SEASON_HOURS: dict[Season, int] = {"none": 0, "day": 24, "week": 168}


@dataclass(frozen=True, slots=True)
class Owners:
    """RACI of a model."""

    accountable: str = "unassigned"
    responsible: tuple[str, ...] = ()
    consulted: tuple[str, ...] = ()
    informed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ReferenceRule:
    """A reference is sealed when it has both this many predictions and this span."""

    predictions: int = 10_000
    span_ms: int = DAY_MS


@dataclass(frozen=True, slots=True)
class BudgetRule:
    """False alerts that the owner of a model accepts: one per so many predictions, and one per so
    much time. The stricter of the two holds."""

    predictions: int = 1_000_000
    span_ms: int = 30 * DAY_MS


@dataclass(frozen=True, slots=True)
class FloorRule:
    """The smallest changes worth telling a person about."""

    shift: float = 0.1  # of a feature, score or latency: standard deviations, on ranks
    error: float = 0.1  # of an error or a loss: relative to its reference
    shape: float = 0.05  # of a distribution: total variation
    series: tuple[tuple[str, float], ...] = ()  # of single series, by name: of their mean
    calibration: float = 0.02  # of how often equal scores come true: share of them
    unlabelled: float = 0.1  # of judged predictions without an outcome: share
    joint: float = 0.2  # of what goes together: standard deviations of a product, on ranks
    shapes: tuple[tuple[str, float], ...] = ()  # of single series
    faults: tuple[tuple[str, float], ...] = ()  # of single series: the least rise of a share

    def mean_of(self, series: str) -> float | None:
        """Of this one by itself; None: as for all."""
        return dict(self.series).get(series)

    def shape_of(self, series: str) -> float:
        return dict(self.shapes).get(series, self.shape)

    def fault_of(self, series: str) -> float | None:
        """None: by the rule for rates."""
        return dict(self.faults).get(series)


@dataclass(frozen=True, slots=True)
class AdwinRule:
    enabled: bool = False
    delta: float | None = None  # of all series together; None: what the budget gives each
    clock: int = 32


@dataclass(frozen=True, slots=True)
class PageHinkleyRule:
    enabled: bool = False
    delta: float = 0.005  # with a threshold
    threshold: float | None = None  # None: what the budget gives each series


@dataclass(frozen=True, slots=True)
class RateRule:
    enabled: bool = True
    min_rise: float = 0.01
    ratio: float = 3.0


@dataclass(frozen=True, slots=True)
class JointRule:
    """Changes between features, looked for in rows of the panes' samples."""

    enabled: bool = True
    pairs: int = 32  # of features, at most
    rows: int = 32  # of a pane, at most


@dataclass(frozen=True, slots=True)
class ThresholdRule:
    """Distances that are told beyond a threshold; None: not at all."""

    psi: float | None = None
    ks: float | None = None
    jensen_shannon: float | None = None
    wasserstein: float | None = None  # standard deviations of the reference
    chi2: float | None = None  # p at or below


SegmentRule = tuple[str, ...]
"""Names of a segment, or of two that are crossed."""

SEGMENTS_SHARE = 0.2  # of a model's budget, where it has segments


@dataclass(frozen=True, slots=True)
class TrafficRule:
    """How many predictions of a model come."""

    enabled: bool = True
    change: float = 0.5  # of those of an hour: share, more or fewer
    silence: int | Literal["auto"] | None = "auto"  # ms without one; None: never told


@dataclass(frozen=True, slots=True)
class LatencyRule:
    """What a model's owner has promised."""

    objectives: tuple[tuple[str, float, float], ...] = ()  # p95, 0.95, within so many ms


@dataclass(frozen=True, slots=True)
class EscalationRule:
    """An alert that nobody has acknowledged so long after it fired is told to these too."""

    after_ms: int
    severity_at_least: Severity
    to: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RetrainRule:
    """What makes Leeway ask for a model to be retrained."""

    performance: bool = True  # an alert on outcomes that says so
    drifts: int | None = None  # so many drifts that fire at a time
    severity_at_least: Severity = "warning"  # of these
    events: tuple[str, ...] = ()  # names of business events
    cooldown_ms: int = 7 * DAY_MS  # between two requests
    every_ms: int | None = None  # it is stale when it was not retrained for so long


@dataclass(frozen=True, slots=True)
class ObjectiveRule:
    """What its owner declared acceptable: of each judged prediction, over so much time."""

    metric: Literal["error", "cost", "false_positive_rate"]
    at_most: float
    over_ms: int = 30 * DAY_MS
    of_class: str = ""  # of false positives; empty: of the positive one
    segment: str = ""  # of this one only, instead of what holds of the whole and of each segment

    def replaces(self, other: ObjectiveRule) -> bool:
        """Within the segment that this one is of."""
        same = (self.metric, self.of_class) == (other.metric, other.of_class)
        return same and bool(self.segment) and not other.segment


Requirement = Literal["reference", "owner", "thresholds", "rollback"]
Requires = tuple[Requirement, ...] | Literal["auto"]
"""What a version that answers must have; "auto": all, if it was deployed (see `readiness`)."""


@dataclass(frozen=True, slots=True)
class VersionRule:
    """What is configured for one version of a model."""

    rollback_to: str | None = None  # the version before it that is known to be good
    deprecated_after_ms: int | None = None  # it should answer no more then
    successor: str | None = None  # where its predictions should go

    def is_past(self, at_ms: int) -> bool:
        """Whether it was to end before that."""
        return self.deprecated_after_ms is not None and at_ms > self.deprecated_after_ms


@dataclass(frozen=True, slots=True)
class ShadowRule:
    """What a shadow may not do as its champion does."""

    missing: float = 0.05  # share of predictions or values
    latency: float = 1.25  # times what 95 % of the champion's answers take is slow
    slower: float = 0.15  # share of slow answers
    without: tuple[str, ...] = ()  # features that it is not given on purpose
    margin: float = 0.01  # so much more it may err
    alpha: float = 0.001  # of what is said of its errors and agreement, at all times together


@dataclass(frozen=True, slots=True)
class ExperimentRule:
    """Variants of a model that subjects are dealt to by chance."""

    name: str
    variants: tuple[str, ...]  # roles; the first is the one that the others are compared with
    split: tuple[float, ...]
    metric: str = "error"  # of judged predictions, the less the better
    margin: float = 0.0  # a difference within it is none
    alpha: float = 0.05  # of a false decision, whenever it is made
    span_ms: int = 28 * DAY_MS  # then it is decided, or stays undecided


@dataclass(frozen=True, slots=True)
class RollbackRule:
    """When a version is worse than the one that it would be rolled back to."""

    metric: str = "error"  # of judged predictions, the less the better
    margin: float = 0.0
    alpha: float = 0.01  # of a rollback asked for without reason, ever


@dataclass(frozen=True, slots=True)
class ModelRule:
    """What is configured for one model; None: as for every model."""

    owners: Owners = Owners()
    runbook_url: str = ""
    maturity: Maturity | Literal["inherit"] = "inherit"
    reference: ReferenceRule | None = None
    season: Season | None = None
    labels: tuple[tuple[str, str], ...] = ()
    budget: BudgetRule | None = None
    floors: FloorRule | None = None
    classes: tuple[str, ...] = ()  # labels whose recall and false-positive rate are watched
    costs: tuple[tuple[str, str, float], ...] = ()  # (what was true, what was said, cost)
    thresholds: ThresholdRule | None = None
    proven: bool | None = None  # whether rates are under the e-detector
    segments: tuple[SegmentRule, ...] = ()
    feature_sets: bool | None = None  # False: new ones that events name are not looked for
    traffic: TrafficRule | None = None
    latency: LatencyRule | None = None
    ages: tuple[int, ...] | None = None  # in ms, at which predictions are judged before maturity
    escalate: tuple[EscalationRule, ...] | None = None
    retrain: RetrainRule | None = None
    versions: tuple[tuple[str, VersionRule], ...] = ()
    requires: Requires | None = None
    objectives: tuple[ObjectiveRule, ...] = ()
    shadow: ShadowRule | None = None
    subject: str | None = None  # the feature that says whom a prediction is of
    experiments: tuple[ExperimentRule, ...] = ()
    rollback: RollbackRule | None = None

    @property
    def has_thresholds(self) -> bool:
        """Whether its owner has said what is to be told."""
        own = (self.budget, self.floors, self.thresholds)
        return bool(self.objectives) or any(one is not None for one in own)

    def in_segment(self, segment: str) -> ModelRule:
        """With the objectives that hold of a segment; empty: of the model as a whole."""
        if not any(one.segment for one in self.objectives):
            return self
        own = [one for one in self.objectives if one.segment in ("", segment)]
        held = [one for one in own if not any(other.replaces(one) for other in own)]
        return replace(self, objectives=tuple(held))


_KEPT_ROWS = 256  # what is told of a sample has an error of a few percent then


@dataclass(frozen=True)
class Rules:
    pane_ms: int = 10 * SECOND_MS
    grace_ms: int = 30 * SECOND_MS
    future_bound_ms: int | None = 3_600 * SECOND_MS  # None: no record timestamps to compare with
    maturity: Maturity = "auto"
    horizon_ms: int = 30 * DAY_MS
    ages: tuple[int, ...] = ()  # in ms, at which predictions are judged before their maturity
    reference: ReferenceRule = ReferenceRule()
    season: Season = "none"
    budget: BudgetRule = BudgetRule()
    floors: FloorRule = FloorRule()
    adwin: AdwinRule = AdwinRule()
    page_hinkley: PageHinkleyRule = PageHinkleyRule()
    rates: RateRule = RateRule()
    joint: JointRule = JointRule()
    thresholds: ThresholdRule = ThresholdRule()
    proven: bool = False  # rates under the e-detector, whose own rate is a theorem
    traffic: TrafficRule = TrafficRule()
    minimum_values: int = 200  # before a self-starting detector may alert
    resolve_after_panes: int = 360  # quiet ones, under ADWIN and Page-Hinkley
    ask_after_ms: int = 14 * DAY_MS  # of firing, the owner is asked to accept a new reference
    resolve_values: int = 500  # that say together that things are as in the reference again
    cooldown_ms: int = DAY_MS  # an alert that comes back within it is of the same incident
    escalate: tuple[EscalationRule, ...] = ()  # steps, by when they are due
    retrain: RetrainRule = RetrainRule()
    requires: Requires = "auto"  # what a version that answers must have
    shared: tuple[tuple[str, tuple[str, ...]], ...] = ()  # feature, and the models that read it
    pane_rows: int = 256  # k of a pane's row sample; panes of at most k rows travel as their rows
    window_rows: int = 2_048  # k of the row sample of a reference that is being gathered
    max_record_bytes: int = 1_000_000
    max_features: int = 2_000  # of one event, and of one model version
    max_categories: int = 64  # per pane and feature
    max_segments: int = 16  # values of a segment, per source partition
    max_pending: int = 10_000_000  # predictions waiting for their maturity, per source partition
    max_ids: int = 20_000_000  # remembered ids, per source partition and side
    max_outcomes: int = 10_000_000  # waiting outcomes, per source partition
    max_groups: int = 2_000  # watched at a time, per partition of stage 2
    forget_ms: int = 30 * DAY_MS  # without any prediction of a group
    models: dict[str, ModelRule] = field(default_factory=dict)

    @property
    def settled_ms(self) -> int:
        """This long after a pane's end, every prediction that an outcome of the pane can belong to
        has been accepted or was late: an outcome may be ahead of its prediction by the grace."""
        return self.pane_ms + 2 * self.grace_ms

    def apart_ms(self, maturity_ms: int) -> int:
        """So far apart, by panes, a champion and a shadow may answer the same: all who do have come
        when the first of them matures."""
        return min(self.grace_ms, maturity_ms) // self.pane_ms * self.pane_ms

    @property
    def kept_rows(self) -> int:
        """k of the row samples of a sealed reference and, from then on, of the recent window."""
        return min(self.window_rows, _KEPT_ROWS)

    def model(self, model_id: str) -> ModelRule:
        return self.models.get(model_id, _UNCONFIGURED)

    def knows(self, model_id: str) -> bool:
        """Whether events of this model are accepted: any, where no model is configured."""
        return not self.models or model_id in self.models

    def maturity_of(self, model_id: str) -> Maturity:
        configured = self.model(model_id).maturity
        return self.maturity if configured == "inherit" else configured

    def ages_of(self, model_id: str, maturity_ms: int | None = None) -> tuple[int, ...]:
        """The further ages, rising: of this maturity those below it."""
        own = self.model(model_id).ages
        ages = self.ages if own is None else own
        return ages if maturity_ms is None else tuple(age for age in ages if age < maturity_ms)

    def judgements_of(self, model_id: str) -> int:
        """How often a prediction is judged: they have equal parts of what is for performance."""
        maturity = self.maturity_of(model_id)
        return 1 + len(self.ages_of(model_id, maturity if isinstance(maturity, int) else None))

    def readers_of(self, feature: str, model_id: str) -> tuple[str, ...]:
        """The other models that read a feature of this one from the same upstream."""
        readers = dict(self.shared).get(feature, ())
        return tuple(one for one in readers if one != model_id) if model_id in readers else ()

    def shared_of(self, model_id: str) -> tuple[str, ...]:
        """Features of this model that others read from the same upstream."""
        return tuple(name for name, readers in self.shared if model_id in readers)

    def reference_of(self, model_id: str) -> ReferenceRule:
        return self.model(model_id).reference or self.reference

    def season_of(self, model_id: str) -> Season:
        return self.model(model_id).season or self.season

    def budget_of(self, model_id: str) -> BudgetRule:
        return self.model(model_id).budget or self.budget

    def floors_of(self, model_id: str) -> FloorRule:
        return self.model(model_id).floors or self.floors

    @property
    def sources(self) -> int:
        """What raises alerts at a budget: they have equal parts of it."""
        adwin = self.adwin.enabled and self.adwin.delta is None
        return 1 + adwin + (self.page_hinkley.enabled and self.page_hinkley.threshold is None)

    def thresholds_of(self, model_id: str) -> ThresholdRule:
        return self.model(model_id).thresholds or self.thresholds

    def rollback_of(self, model_id: str) -> RollbackRule:
        return self.model(model_id).rollback or _ROLLBACK

    def shadow_of(self, model_id: str) -> ShadowRule:
        return self.model(model_id).shadow or _SHADOW

    def is_proven(self, model_id: str) -> bool:
        own = self.model(model_id).proven
        return self.proven if own is None else own

    def segments_of(self, model_id: str) -> tuple[SegmentRule, ...]:
        return self.model(model_id).segments

    @cached_property
    def has_segments(self) -> bool:
        return any(model.segments for model in self.models.values())

    def watches_feature_sets(self, model_id: str) -> bool:
        return self.model(model_id).feature_sets is not False

    def of_group(self, model_id: str, *, is_segment: bool) -> Rules:
        """For the model as a whole, or for one of its segments: they share its budget."""
        if not self.segments_of(model_id):
            return self
        made = self._of_segments.get((model_id, is_segment))
        if made is None:
            share = 1.0 - SEGMENTS_SHARE
            if is_segment:
                values = [(self.max_segments + 2) ** len(s) for s in self.segments_of(model_id)]
                share = SEGMENTS_SHARE / sum(values)
            budget, model = self.budget_of(model_id), self.models[model_id]
            less = BudgetRule(round(budget.predictions / share), round(budget.span_ms / share))
            made = replace(self, models={**self.models, model_id: replace(model, budget=less)})
            made.__dict__["_config_hash"] = self.config_hash()  # it is the same configuration
            self._of_segments[model_id, is_segment] = made
        return made

    @cached_property
    def _of_segments(self) -> dict[tuple[str, bool], Rules]:
        return {}

    def traffic_of(self, model_id: str) -> TrafficRule:
        return self.model(model_id).traffic or self.traffic

    def escalations_of(self, model_id: str) -> tuple[EscalationRule, ...]:
        own = self.model(model_id).escalate
        return self.escalate if own is None else own

    @cached_property
    def escalates(self) -> bool:
        return bool(self.escalate) or any(model.escalate for model in self.models.values())

    def retrain_of(self, model_id: str) -> RetrainRule:
        return self.model(model_id).retrain or self.retrain

    def requires_of(self, model_id: str) -> Requires:
        own = self.model(model_id).requires
        return self.requires if own is None else own

    def holds_deployments(self, model_id: str) -> bool:
        """Whether it is asked for something of versions that are deployed, and of no others."""
        return model_id in self.models and self.requires_of(model_id) == "auto"

    def governs(self, model_id: str) -> bool:
        """Whether it is asked for something of each of this model's versions."""
        if not self._governs_any:
            return False
        asked = self.requires_of(model_id)
        is_asked = asked not in ("auto", ()) or self.retrain_of(model_id).every_ms is not None
        versions = self.model(model_id).versions
        return is_asked or any(v.deprecated_after_ms is not None for _, v in versions)

    @cached_property
    def _governs_any(self) -> bool:
        if self.requires not in ("auto", ()) or self.retrain.every_ms is not None:
            return True
        return any(
            model.requires not in ("auto", (), None)
            or (model.retrain is not None and model.retrain.every_ms is not None)
            or any(known.deprecated_after_ms is not None for _, known in model.versions)
            for model in self.models.values()
        )

    def version_of(self, model_id: str, version: str) -> VersionRule:
        return dict(self.model(model_id).versions).get(version, _UNKNOWN_VERSION)

    def rollback_target(self, model_id: str, version: str) -> str | None:
        return self.version_of(model_id, version).rollback_to

    def comes_before(self, model_id: str, version: str, other: str) -> bool:
        """Whether that one is known to have come in its place."""
        is_good = self.rollback_target(model_id, other) == version
        return is_good or self.version_of(model_id, version).successor == other

    def cannot_follow(self, former: Rules) -> list[str]:
        """Why these cannot take over what was held under the former rules; empty if they can."""
        reasons = []
        if self.state_hash() != former.state_hash():
            mine, its = asdict(self), asdict(former)
            changed = [n for n in mine if n not in _ACTIVATED and mine[n] != its[n]]
            reasons.append(f"{', '.join(changed)} cannot change: stored state depends on it")
        for model_id in sorted(self.models.keys() | former.models.keys()):
            both_know = self.knows(model_id) and former.knows(model_id)
            if both_know and self.of_state(model_id) != former.of_state(model_id):
                reasons.append(f"models.{model_id}: its {_OF_STATE} cannot change")
        return reasons

    def of_state(self, model_id: str) -> list[Any]:
        """What stored state of this model depends on beside `state_hash`."""
        reference = self.reference_of(model_id)
        state: list[Any] = [self.maturity_of(model_id), reference.predictions, reference.span_ms]
        model = self.model(model_id)
        if model.classes or model.costs:  # newer than 0.1.0
            state += [list(model.classes), [list(cost) for cost in model.costs]]
        if model.subject is not None:
            state += [["subject", model.subject]]
        ages = self.ages_of(model_id)
        state += [list(ages)] if ages else []
        state += [["segments", *map(list, model.segments)]] if model.segments else []
        season = self.season_of(model_id)
        return state if season == "none" else [*state, season]

    def config_hash(self) -> str:
        """Of everything here: two alerts with the same hash were made by the same rules."""
        return self._config_hash

    @cached_property
    def _config_hash(self) -> str:
        return _hash(self._hashed())

    def state_hash(self) -> str:
        """Of what stored state depends on, beside each model's own."""
        return _hash({n: value for n, value in self._hashed().items() if n not in _ACTIVATED})

    def state_hash_of_0_1(self) -> str:
        """As 0.1.0 wrote it into its checkpoints: of all but the models. ADWIN was on by default
        there, and is off since; state does not depend on it."""
        fields = {n: value for n, value in self._hashed().items() if n != "models"}
        return _hash(fields | {"adwin": fields["adwin"] | {"enabled": True}})

    def _hashed(self) -> dict[str, Any]:
        """Settings newer than 0.1.0 count only where they are set: hashes survive an upgrade."""
        defaults = {n: msgspec.to_builtins(getattr(Rules, n)) for n in _SINCE_0_1_OF_ALL}
        plain = self.to_plain()
        fields = {n: v for n, v in plain.items() if n not in defaults or v != defaults[n]}
        for name, setting, default in _WITHOUT_EFFECT:
            if not fields[name]["enabled"] and fields[name][setting] is None:
                fields[name][setting] = default
        for model in fields["models"].values():
            for name in _SINCE_0_1_OF_ONE:
                if model[name] is None or (model[name] in _NOTHING and name not in _OWN):
                    del model[name]
            for objective in model.get("objectives", ()):
                if not objective["segment"]:
                    del objective["segment"]
        return fields

    def to_plain(self) -> dict[str, Any]:
        # msgspec by itself leaves out what it had set to a default when it read this
        plain: dict[str, Any] = msgspec.to_builtins(asdict(self))
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Rules:
        """Raises ValueError. What is not there has its default."""
        return msgspec.convert(plain, cls)


_OF_STATE = "maturity, ages, reference, season, classes, costs, subject and segments"
_ACTIVATED = frozenset(
    {
        "budget",
        "floors",
        "adwin",
        "page_hinkley",
        "rates",
        "joint",
        "proven",
        "thresholds",
        "traffic",
        "minimum_values",
        "resolve_after_panes",
        "resolve_values",
        "cooldown_ms",
        "ask_after_ms",
        "escalate",
        "retrain",
        "requires",
        "shared",
        "models",
    }
)
"""What may change at a pane."""

_SINCE_0_1_OF_ALL: frozenset[str] = frozenset(
    {
        "season",
        "ages",
        "ask_after_ms",
        "max_ids",
        "max_segments",
        "max_outcomes",
        "max_groups",
        "forget_ms",
        "budget",
        "floors",
        "joint",
        "proven",
        "thresholds",
        "traffic",
        "resolve_values",
        "cooldown_ms",
        "escalate",
        "retrain",
        "requires",
        "shared",
    }
)
_SINCE_0_1_OF_ONE: tuple[str, ...] = (
    *("season", "ages", "budget", "floors", "classes", "costs", "proven", "thresholds"),
    *("escalate", "retrain", "versions", "requires", "objectives"),
    *("shadow", "subject", "experiments", "rollback", "traffic", "latency", "segments"),
    "feature_sets",
)
_NOTHING: tuple[Any, ...] = ((), [], {})
"""Fields that 0.1.0 did not have: of all models, and of one."""
_OWN = ("ages", "escalate", "requires")
"""Of one, of which none are other ones than those of all models."""


_WITHOUT_EFFECT = (("adwin", "delta", 0.002), ("page_hinkley", "threshold", 50.0))
"""What 0.1.0 had for a setting of a detector that is off, where the default is another one now."""


def _hash(fields: dict[str, Any]) -> str:
    """First 16 hex digits of the SHA-256, keys sorted."""
    text = msgspec.json.encode(fields, order="deterministic")
    return hashlib.sha256(text).hexdigest()[:16]


_UNCONFIGURED, _UNKNOWN_VERSION = ModelRule(), VersionRule()
_SHADOW, _ROLLBACK = ShadowRule(), RollbackRule()
