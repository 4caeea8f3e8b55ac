"""What units and means tell, as findings for stage 3."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

from stream.alarm import Signal
from stream.alert_fields import short
from stream.alert_news import PART
from stream.beyond import Beyond, drifted_beyond
from stream.causes import Known, cause_of
from stream.columns import FEATURE, Group, Rows
from stream.distance_watch import DistanceTold
from stream.distance_words import describe_distance
from stream.estimated_error import ESTIMATE, SCORE
from stream.event_columns import FEATURE_SET
from stream.evidence import current_evidence, reference_evidence
from stream.feature_sets import NewSet
from stream.joint_terms import MEASURE, SERIES, joint_share
from stream.joint_watch import JointTold, JointWatch
from stream.joint_words import describe_joint
from stream.limit_watch import MEASURE as LIMIT
from stream.limit_watch import SERIES as LIMITED
from stream.limit_watch import LimitTold
from stream.limit_words import describe_limit, lasting_words
from stream.mean_levels import Level
from stream.members import FEATURE_SET_CHANGE, OF_A_MODEL, lesser
from stream.monitor_told import MonitorFinding
from stream.objective_watch import LATENCY, ObjectiveTold
from stream.objective_words import describe_objective
from stream.pane_kinds import PaneKind, is_judged
from stream.ranked_features import moved_most, ranked_features
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.rules import DAY_MS, Rules
from stream.stale_terms import MEASURE as STALE
from stream.stale_watch import StaleTold
from stream.stale_words import describe_stale
from stream.times import iso
from stream.unit_walk import Crossing, Told
from stream.units import is_fault
from stream.verdicts import Context, describe, describe_crossing
from stream.watched import Key, Watched

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
_WINDOWS = 4  # of rows that are at hand: most that tell in a pane tell since the same one


@dataclass(frozen=True, slots=True)
class Findings:
    """Of one monitor, under the rules in force."""

    rules: Rules
    group: Group
    kind: PaneKind
    recent: RecentRows
    is_early: Callable[[int, int], bool] = lambda *_: False
    """Whether what has been so since, as found at that pane end, was so from the beginning."""
    was_so: Callable[[str, int, Rows | None], bool] = lambda *_: False  # of a feature, its rows
    knows: Callable[[str], bool] = lambda _: False  # whether the sealed reference has a feature
    _shown: dict[tuple[Any, ...], Any] = field(default_factory=dict, init=False)
    """What several findings say: each of a feature's units tells of the same rows."""
    _windows: dict[tuple[int, int], Rows | None] = field(default_factory=dict, init=False)
    _known_of: dict[tuple[Any, ...], Known] = field(default_factory=dict, init=False)

    def context(self, name: str, detector: str, share: float) -> Context:
        return Context(self.rules, self.kind, self.group, name, detector, share)

    def quiet(self, name: str, detector: str, end_ms: int, because: str = "") -> MonitorFinding:
        alertname = self.context(name, detector, 0.0).alertname
        return MonitorFinding(end_ms, name, alertname, None, "quiet", because)

    def raised(self, key: Key, end_ms: int) -> MonitorFinding:
        """A feature's alert is graver: predictions have moved too."""
        detail = {"severity": "warning", "summary": "predictions have moved too"}
        name, measure = key
        alertname = self.context(name, measure, 0.0).alertname
        return MonitorFinding(end_ms, name, alertname, detail, "raised")

    def of_unit(
        self, told: Told, end_ms: int, *, is_sealed: bool, moved_along: bool = False,
        drifting: Callable[[], list[str]] = list,
    ) -> MonitorFinding | None:  # fmt: skip
        """None: it tells nothing. `moved_along`: predictions have moved too; `drifting`: features
        that have."""
        watched, crossing, effect = told.watched, told.crossing, told.effect
        name, measure = watched.key
        context = self.context(name, measure, watched.share)
        if told.refuted:
            return MonitorFinding(end_ms, ESTIMATE, context.alertname, None, "withdrawn")
        if watched.unit.is_twin:
            return None
        if told.lasting:
            return self._unchanged(told, context, end_ms)
        reference = watched.profile.reference
        if crossing is None or effect is None:
            by = reference.id if is_sealed else ""
            return replace(self.quiet(name, measure, end_ms), reference=by)
        detail = describe_crossing(context, told, crossing, effect, end_ms)
        detail["reference"] = _named(reference, is_sealed=is_sealed)
        shown_of = SCORE if name == ESTIMATE else name
        detail["evidence"] = (
            _of_scores(told, crossing)
            if watched.unit.is_split
            else self._evidence(shown_of, crossing.since_ms, end_ms, reference)
        )
        self._against(detail, end_ms, reference)
        if not (is_sealed or is_fault(measure)):
            _only_caution(detail, is_judged=is_judged(self.kind))
        elif moved_along and detail["severity"] == "info":
            detail["severity"] = "warning"
            detail["summary"] += "; predictions have moved too"
        if self.kind == "prediction":
            window = self._window(crossing.since_ms, end_ms)
            known = self._known(window, (crossing.since_ms, end_ms), reference)
            _explain(detail, window, watched, is_sealed=is_sealed, drifting=drifting, known=known)
            if self._is_undone(detail, name):
                return None
        if name == ESTIMATE:
            detail["impact"] |= _sums("estimated_error", told, crossing)
        if is_judged(self.kind):
            detail["impact"] |= _impact(name.partition(":")[2], detail["evidence"], told, crossing)
        if watched.unit.columns > 1 and measure in {"shape", "calibration"}:
            detail["evidence"]["current"][PART] = crossing.column
        return MonitorFinding(end_ms, name, context.alertname, detail)

    def _unchanged(self, told: Told, context: Context, end_ms: int) -> MonitorFinding | None:
        name, alertname = context.series, context.alertname
        if told.stands:
            stands = MonitorFinding(end_ms, name, alertname, None, "stands")
            return stands if context.facts[1] in OF_A_MODEL else None
        is_coverage = told.watched.unit.is_coverage
        what = "more outcomes have been missing than in its reference" if is_coverage else ""
        return MonitorFinding(end_ms, name, alertname, _lasting(context, what), "lasting")

    def of_mean(
        self,
        name: str,
        detector: str,
        signal: Signal,
        end_ms: int,
        *,
        share: float,
        reference: Reference | None,
        tau: float,
    ) -> MonitorFinding:
        context = self.context(name, detector, share)
        if signal.lasting:
            return MonitorFinding(end_ms, name, context.alertname, _lasting(context), "lasting")
        if signal.change is None:
            return self.quiet(name, detector, end_ms)
        sealed = None if reference is None else Level.of(reference, name)
        usual = sealed or Level.before(signal.change)
        detail = describe(context, signal.change, usual, signal.change_at_ms, end_ms, tau=tau)
        detail["reference"] = {"id": f"self:{iso(end_ms)}", "count": usual.count}
        if reference is not None and sealed is not None:
            detail["reference"] = _named(reference, is_sealed=True)
        detail["evidence"] = self._evidence(name, signal.change_at_ms, end_ms, reference)
        self._against(detail, end_ms, reference if sealed else None)
        return MonitorFinding(end_ms, name, context.alertname, detail)

    def of_joint(
        self, told: JointTold, end_ms: int, watch: JointWatch, reference: Reference | None
    ) -> MonitorFinding:
        context = self.context(SERIES, MEASURE, joint_share(self.rules))
        if told.lasting:
            lasting = _lasting(context, "what goes together has differed from its reference")
            return MonitorFinding(end_ms, SERIES, context.alertname, lasting, "lasting")
        crossing, effect, rows, terms = told.crossing, told.effect, watch.rows, watch.terms
        if crossing is None or effect is None or rows is None or terms is None:
            return self.quiet(SERIES, MEASURE, end_ms)
        window = self._window(crossing.since_ms, end_ms)
        before, now = rows.correlations(told.contrast, window)
        if len(told.names) == 2 and not _goes_otherwise(before, now, float(effect.estimate)):
            return self.quiet(SERIES, MEASURE, end_ms)
        detail = describe_joint(context, told, end_ms, (before, now))
        detail["reference"] = {"id": terms.reference_id, "count": told.known}
        sampled = 0 if window is None else len(window)
        detail["evidence"] = {
            "current": {"correlations": now, "sampled": sampled},
            "reference": {"correlations": before, "sampled": told.known},
        }
        self._against(detail, end_ms, reference)
        return MonitorFinding(end_ms, SERIES, context.alertname, detail)

    def of_stale(
        self, told: StaleTold, end_ms: int, share: float, *, is_sealed: bool
    ) -> MonitorFinding:
        context = self.context(told.name, STALE, share)
        if told.lasting:
            lasting = _lasting(
                context, f"{context.feature} has been one and the same, unlike in its reference,"
            )
            return MonitorFinding(end_ms, told.name, context.alertname, lasting, "lasting")
        if told.run is None or told.profile is None:
            return self.quiet(told.name, STALE, end_ms)
        reference = told.profile.reference
        detail = describe_stale(context, told, told.run, end_ms)
        detail["reference"] = _named(reference, is_sealed=is_sealed)
        detail["evidence"] = self._evidence(told.name, told.since_ms, end_ms, reference)
        cause = {"what": "stale", "value": told.run.shown, "values": told.run.count}
        detail["evidence"]["cause"] = cause
        self._against(detail, end_ms, reference)
        return MonitorFinding(end_ms, told.name, context.alertname, detail)

    def of_distance(self, told: DistanceTold, end_ms: int, reference: Reference) -> MonitorFinding:
        series, name = told.key
        context = self.context(series, name, 0.0)
        if told.lasting:
            return MonitorFinding(end_ms, series, context.alertname, _lasting(context), "lasting")
        if told.value is None:
            return self.quiet(series, name, end_ms)
        detail = describe_distance(context, told, end_ms)
        detail["reference"] = {"id": reference.id, "count": told.known}
        detail["evidence"] = self._evidence(series, told.since_ms, end_ms, reference)
        self._against(detail, end_ms, reference)
        return MonitorFinding(end_ms, series, context.alertname, detail)

    def of_feature_set(self, new: NewSet) -> MonitorFinding:
        """No alert: what others may follow from."""
        detail: dict[str, Any] = {
            "kind": "schema",
            "feature": None,
            "change_at_ms": new.since_ms,
            "from": new.former,
            "to": new.name,
            "evidence": {},
        }
        return MonitorFinding(new.end_ms, FEATURE_SET, FEATURE_SET_CHANGE, detail, "cause")

    def of_objective(self, told: ObjectiveTold, end_ms: int) -> MonitorFinding:
        context = self.context(LATENCY, "objective", 0.0)
        rule = self.rules.model(self.group[0]).latency
        if rule is None or not told.missed:
            return self.quiet(LATENCY, "objective", end_ms)
        if told.is_lasting:
            days = f"{self.rules.ask_after_ms / DAY_MS:.3g}"
            summary = f"{context.who}: {', '.join(told.missed)} missed for {days} days"
            detail: dict[str, Any] = {"summary": summary}
            return MonitorFinding(end_ms, LATENCY, context.alertname, detail, "lasting")
        detail = describe_objective(context, told, rule)
        return MonitorFinding(end_ms, LATENCY, context.alertname, detail)

    def of_limit(self, told: LimitTold, end_ms: int) -> MonitorFinding:
        context = self.context(LIMITED, LIMIT, 0.0)
        if told.verdict == "quiet":
            return self.quiet(LIMITED, LIMIT, end_ms)
        if told.verdict == "lasting":
            days = f"{self.rules.ask_after_ms / DAY_MS:.3g}"
            detail: dict[str, Any] = {"summary": lasting_words(context, told, days)}
            return MonitorFinding(end_ms, LIMITED, context.alertname, detail, "lasting")
        detail = describe_limit(context, told, end_ms)
        return MonitorFinding(end_ms, LIMITED, context.alertname, detail)

    def _is_undone(self, detail: dict[str, Any], name: str) -> bool:
        """Whether a feature that had come under another name comes under its own again."""
        cause = detail["evidence"].get("cause", {})
        is_renamed = cause.get("what") == "renamed"
        return is_renamed and self.knows(FEATURE + cause["to"]) and not self.knows(name)

    def _against(self, detail: dict[str, Any], end_ms: int, reference: Reference | None) -> None:
        """Where that is the training data, say: drift, or skew, which has been there from the
        beginning."""
        if reference is None or not reference.source:
            return
        beside: dict[str, Any] = {"source": reference.source}
        detail["summary"] += f" against {reference.source}"
        if self._is_from_first(detail, end_ms):
            first = "judged predictions" if is_judged(self.kind) else "predictions"
            detail["summary"] += f", from the first {first} on"
            if is_judged(self.kind):
                beside["from_first"] = True
            else:
                beside["skew"] = True
                detail["summary"] += ": skew, not drift"
                if detail["kind"] == "feature_drift":  # serving is to compute what training did
                    detail["recommended_action"] = "fix_pipeline"
        detail["evidence"]["reference"] |= beside

    def _is_from_first(self, detail: dict[str, Any], end_ms: int) -> bool:
        since_ms, feature = detail["change_at_ms"], detail["feature"]
        if self.is_early(since_ms, end_ms):
            return True
        window = None if feature is None else self._window(since_ms, end_ms)
        return self.was_so(f"{FEATURE}{feature}", since_ms, window)

    def _evidence(
        self, name: str, since_ms: int, end_ms: int, reference: Reference | None
    ) -> dict[str, Any]:
        def sides() -> tuple[dict[str, Any], dict[str, Any]]:
            now = current_evidence(self._window(since_ms, end_ms), name, reference)
            return now, {} if reference is None else reference_evidence(reference, name)

        by = None if reference is None else reference.id
        current, before = self._once((name, since_ms, end_ms, by), sides)
        return {"current": dict(current), "reference": dict(before)}  # each finding adds its own

    def _window(self, since_ms: int, end_ms: int) -> Rows | None:
        made = partial(self.recent.window, since_ms, end_ms)
        return _of_late(self._windows, (since_ms, end_ms), made)

    def _known(
        self, window: Rows | None, span_ms: tuple[int, int], reference: Reference
    ) -> Known | None:
        if window is None:
            return None
        made = partial(Known, window, reference)
        return _of_late(self._known_of, (*span_ms, reference.id), made)

    def _once(self, what: tuple[Any, ...], made: Callable[[], T]) -> T:
        """Of all that is told of the panes of a run."""
        if what not in self._shown:
            self._shown[what] = made()
        shown: T = self._shown[what]
        return shown


def _of_late(kept: dict[K, T], what: K, made: Callable[[], T]) -> T:
    """One of the latest few, which hold rows; made where it is not among them.

    >>> kept = {}
    >>> [_of_late(kept, n, lambda n=n: n * n) for n in (1, 2, 3, 4, 5, 1)], sorted(kept)
    ([1, 4, 9, 16, 25, 1], [1, 3, 4, 5])
    """
    if what not in kept:
        if len(kept) >= _WINDOWS:
            del kept[next(iter(kept))]
        kept[what] = made()
    return kept[what]


def _explain(
    detail: dict[str, Any], window: Rows | None, watched: Watched, *, is_sealed: bool,
    drifting: Callable[[], list[str]], known: Known | None,
) -> None:  # fmt: skip
    """What probably is behind an alert of a feature, and which features moved with predictions.
    How long a value may stay the same (an hour of the day does) a sealed reference knows first."""
    (name, measure), reference = watched.key, watched.profile.reference
    if detail["kind"] == "prediction_drift":
        ranked = ranked_features(window, reference)
        if ranked is not None:
            detail["evidence"]["moved_with"] = {"features": ranked}
            detail["summary"] += moved_most(ranked, [] if ranked else drifting())
    if detail["feature"] is None:
        return
    taus = watched.tau if is_sealed else (math.inf,)
    cause = cause_of(window, name, measure, reference, taus, known=known)
    if cause is None:
        if measure == "out_of_range" and "skew" not in detail["evidence"]["reference"]:
            _as_drift(detail, drifted_beyond(window, name, reference, max(watched.tau)))
        return
    detail["summary"] += f"; {cause.because}"
    detail["evidence"]["cause"] = cause.shown()
    if cause.is_certain:  # it makes a drift a fault
        detail["kind"], detail["severity"] = cause.kind, "error"
        detail["recommended_action"] = "fix_pipeline"


def _goes_otherwise(before: dict[str, float], now: dict[str, float], effect: float) -> bool:
    """Whether a product moved because two features go together otherwise, not because both have
    moved by themselves, as often before so that it was not told again. True where nobody knows."""
    return not now or any(abs(now[pair] - before[pair]) >= abs(effect) / 2.0 for pair in now)


def _as_drift(detail: dict[str, Any], beyond: Beyond | None) -> None:
    """No fault: what the world does is not to be fixed in a pipeline."""
    if beyond is not None:
        detail["summary"] += f"; {beyond.because}"
        detail["evidence"]["beyond"] = beyond.shown()
        detail["kind"], detail["recommended_action"] = "feature_drift", "investigate"


def _named(reference: Reference, *, is_sealed: bool) -> dict[str, Any]:
    shown = reference.id if is_sealed else f"self:{iso(reference.end_ms)}"
    return {"id": shown, "count": reference.count}


def _only_caution(detail: dict[str, Any], *, is_judged: bool) -> None:
    """Of a reference that is not sealed: that losses differ from it is worth a look."""
    detail["severity"] = lesser(detail["severity"], "warning" if is_judged else "info")
    detail["summary"] += "; what is usual is not known yet"
    if detail["recommended_action"] == "retrain":
        detail["recommended_action"] = "investigate"


def _lasting(context: Context, what: str = "") -> dict[str, Any]:
    name, (model, version, *_) = context.series.partition(":")[2], context.group
    days = f"{context.rules.ask_after_ms / DAY_MS:.3g}"
    summary = (
        f"{context.who}: {what or f'{name} has differed from its reference'} for {days} days; if "
        f"it is to stay so, accept a new one: leeway reference accept {model} {version}"
    )
    return {"summary": summary}


def _of_scores(told: Told, crossing: Crossing) -> dict[str, Any]:
    """How often scores of the bin that moved come true."""
    baseline, column = told.watched.baseline, crossing.column
    low, high = told.watched.profile.scores_of(column)
    sides = {
        "current": (crossing.x, crossing.n),
        "reference": (int(baseline.x[column]), int(baseline.n[column])),
    }
    scores = {"score_from": short(low), "score_to": short(high)}
    return {
        side: {**scores, "count": n, "come_true": short(x / max(n, 1))}
        for side, (x, n) in sides.items()
    }


def _sums(metric: str, told: Told, crossing: Crossing) -> dict[str, Any]:
    """Since the change, and in the reference."""
    unit, baseline, column = told.watched.unit, told.watched.baseline, crossing.column
    sides = [(crossing.x, crossing.n), (int(baseline.x[column]), int(baseline.n[column]))]
    values = [x / max(n, 1) * unit.scale / unit.steps for x, n in sides]
    if unit.is_coverage:
        metric, values = "label_coverage", [1.0 - missing for missing in values]
    return {"metric": metric, "value": short(values[0]), "reference": short(values[1])}


def _impact(
    metric: str, evidence: dict[str, Any], told: Told, crossing: Crossing
) -> dict[str, Any]:
    if told.watched.key[1] != "shift":  # counted, not sampled
        return _sums(metric, told, crossing)
    return {
        "metric": metric,
        "value": evidence["current"].get("mean"),
        "reference": evidence["reference"].get("mean"),
    }
