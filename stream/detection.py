"""All that compares the panes of a group with what is usual, under one roof.

The bank (`watch`) with what it compares with (`standards`), what goes together in the rows
(`joint`), and, where they are configured, means under ADWIN and Page-Hinkley and the distances that
an owner has set thresholds for. What begins and ends with a reference begins and ends here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from detectors.jump import Course
from stream.budget import OBJECTIVES, false_alerts_per_prediction
from stream.columns import Group
from stream.concert import Concert, Raised
from stream.distance_watch import DistanceWatch
from stream.feature_types import FeatureTypes
from stream.findings import Findings
from stream.inputs import Inputs
from stream.joint_terms import MEASURE, SERIES
from stream.joint_watch import JointWatch
from stream.late_gathering import Gathered
from stream.limit_account import declared
from stream.limit_watch import MEASURE as LIMIT
from stream.limit_watch import SERIES as LIMITED
from stream.limit_watch import LimitWatch
from stream.monitor_told import MonitorFinding, SeriesStatus
from stream.monitored_series import MonitoredSeries
from stream.objective_watch import LATENCY, ObjectiveWatch
from stream.pane_kinds import PaneKind, is_judged
from stream.panes import PaneTable
from stream.power import Lines, shown
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.row_power import stuck, together
from stream.rules import SHADOW, Rules
from stream.screening import Taus
from stream.shared_sums import SharedSums
from stream.stale_terms import stale_share
from stream.stale_watch import StaleWatch
from stream.standards import Standards
from stream.unit_walk import Crossing
from stream.units import Measure
from stream.unsettled import Span
from stream.watch import Watch
from stream.watched import Key, Watched
from stream.watermark import BEFORE_ALL_MS

_OF_MEANS: tuple[Measure, ...] = ("shift", "rate", "mean")
Fired = list[tuple[str, str]]
"""(series, detector)"""


class Detection:
    def __init__(
        self, rules: Rules, group: Group, kind: PaneKind, types: FeatureTypes, enough: int
    ) -> None:
        """`enough`: values that make a reference."""
        self._group, self._kind = group, kind
        has_season = rules.season_of(group[0]) != "none"
        self.standards = Standards(kind, group[0], has_season=has_season)
        is_judged = kind == "prediction" and rules.maturity_of(group[0]) is not None
        self.watch = Watch(enough, Inputs(rules.pane_ms) if is_judged else None)
        self.means = MonitoredSeries(rules, group[0], kind, types)
        self._joint = JointWatch()
        self._distances = DistanceWatch()
        self._objectives = ObjectiveWatch()
        self._stale = StaleWatch()
        self.limits = LimitWatch()

    @property
    def law(self) -> Reference | None:
        law = self.standards.law
        return None if law is None else law.reference

    def taus_of_law(self) -> Taus:
        """How much the values depend of what is compared with it, where that is more than 1."""
        law, watched = self.standards.law, self.watch.watched
        return {
            key: one.tau
            for key, one in watched.items()
            if one.profile is law and max(one.tau) > 1.0
        }

    # -- what is watched

    def use(self, rules: Rules) -> Fired:
        """Under these rules from the next pane on, `arrange` anew with them; what they end while it
        fires."""
        ended = self.means.use(rules)
        self.standards.use(rules)
        ended += self._stale.use(rules)
        ended += self._distances.use(rules.thresholds_of(self._group[0]))
        if self._objectives.use(rules.model(self._group[0]).latency):
            ended.append((LATENCY, "objective"))
        if self.limits.use(declared(rules, self._group)):
            ended.append((LIMITED, LIMIT))
        return ended

    def arrange(
        self,
        numeric: Mapping[str, bool],
        rules: Rules,
        recent: RecentRows,
        end_ms: int,
        *,
        is_gathering: bool,
        anew: bool,
    ) -> Fired:
        """Watch from the next pane on what references there are for; what fires and is watched no
        more. `anew`: the terms of all have changed."""
        standards, watch = self.standards, self.watch
        if standards.is_empty and not watch.watched:  # as where a group has just begun
            return []
        rows = recent.window(BEFORE_ALL_MS, end_ms) if standards.has_begun else None
        ended: Fired = [*standards.arrange(watch, numeric, rules, recent=rows, anew=anew)]
        rows_gathered = standards.gathered(rules) if is_gathering else None
        watch.gather(rows_gathered, is_deployed=standards.is_deployed)
        if self._kind == "prediction":
            taus = watch.watched.taus
            if self._joint.arrange(standards.law, numeric, taus, rules, self._group[0]):
                ended.append((SERIES, MEASURE))
        return ended

    def share(self, rules: Rules) -> None:
        """The budget of the means follows their number, and how much their values depend, from the
        next pane on."""
        self.means.share(self._rate(rules), self._sealed_of)

    def _rate(self, rules: Rules) -> float:
        """False alerts a prediction."""
        budget, traffic = rules.budget_of(self._group[0]), self.standards.traffic
        if traffic is None:  # it is not known yet
            return 1.0 / budget.predictions
        return false_alerts_per_prediction(budget, *traffic)

    def _pool(self, rules: Rules) -> None:
        """What other models read too is added up with theirs, once it has a reference."""
        is_whole = self._kind == "prediction" and not self._group[3] and self._group[2] != SHADOW
        names = rules.shared_of(self._group[0]) if is_whole else ()
        if not names:
            self.watch.shared = None
            return
        if self.watch.shared is None:
            self.watch.shared = SharedSums()
        watched = self.watch.watched
        known = [(name, watched.get((f"feature:{name}", "shift"))) for name in names]
        law = self.standards.law  # a late feature lives on the reserve, which has no part for it
        self.watch.shared.features = tuple(
            name for name, one in known if one is not None and one.profile is law
        )

    # -- runs

    def run(
        self,
        run: PaneTable,
        rules: Rules,
        recent: RecentRows,
        words: Findings,
        course: Callable[[Key, PaneTable, RecentRows, int], Course | None],
        *,
        is_gathering: bool,
    ) -> list[MonitorFinding]:
        """`course`: what a change up to the end of a run looks like, from a time on, of a unit
        whose reference is still gathered."""
        firing = list(self.watch.firing)
        self._pool(rules)

        def may_tell(one: Watched, crossing: Crossing) -> bool:
            end_ms = int(run.pane_end[crossing.row])

            def looks_like(from_ms: int) -> Course | None:
                upto = run.between(int(run.pane_end[0]), end_ms)
                return course(one.key, upto, recent, from_ms)

            return self.standards.may_tell_now(one, Span(crossing.since_ms, end_ms), looks_like)

        told = self.watch.run(run, rules, may_tell, self.standards.is_mute)
        concert = Concert(firing)
        findings: list[MonitorFinding] = []
        for one in concert.of(told):
            end_ms = int(run.pane_end[one.row])
            if isinstance(one, Raised):
                if self.standards.is_sealed(self.watch.watched[one.key].profile):
                    findings.append(words.raised(one.key, end_ms))
                continue
            sealed = self.standards.is_sealed(one.watched.profile)
            found = words.of_unit(
                one, end_ms, is_sealed=sealed, moved_along=concert.moved_along(one),
                drifting=concert.features,
            )  # fmt: skip
            findings += [] if found is None else [found]
        findings += [
            words.of_joint(joint, int(run.pane_end[joint.row]), self._joint, self.law)
            for joint in self._joint.run(run, rules, firing, told)
        ]
        findings += self._constant(run, rules, recent, words, is_gathering=is_gathering)
        findings += self.means.run(run, words, self._sealed_of, self.watch.undecided)
        if self.watch.shared is not None:
            findings += self.watch.shared.findings(run.pane_end, firing, told)
        findings += self._slow(run, rules, words)
        findings += self._beyond(run, rules, words)
        return findings + self._far(run, rules, recent, words)

    def _sealed_of(self, series: str) -> tuple[Reference | None, float]:
        """The reference that is sealed of it, and how much its values depend."""
        units = (self.watch.watched.get((series, measure)) for measure in _OF_MEANS)
        one = next((unit for unit in units if unit is not None), None)
        if one is None:
            return self.law, 1.0
        is_sealed = self.standards.is_sealed(one.profile)
        return one.profile.reference if is_sealed else None, max(one.tau)

    def _slow(self, run: PaneTable, rules: Rules, words: Findings) -> list[MonitorFinding]:
        """What takes longer than the owner has promised."""
        rule = rules.model(self._group[0]).latency
        if rule is None or is_judged(self._kind):
            return []
        told = self._objectives.run(
            run, rule, rate=self._rate(rules) * OBJECTIVES / rules.sources,
            minimum=rules.minimum_values, ask_after_ms=rules.ask_after_ms,
        )  # fmt: skip
        return [words.of_objective(one, int(run.pane_end[one.row])) for one in told]

    def _taus(self) -> dict[str, float]:
        return {name: max(tau) for (name, _), tau in self.watch.watched.taus.items()}

    def _beyond(self, run: PaneTable, rules: Rules, words: Findings) -> list[MonitorFinding]:
        """What is judged worse than its owner has declared acceptable."""
        if self._kind != "cohort" or self._group[2] == SHADOW:
            return []
        if not declared(rules, self._group).objectives:
            return []
        told = self.limits.run(
            run, rules, self._group, taus=self._taus(),
            undecided=self.watch.undecided, is_known=self.law is not None,
        )  # fmt: skip
        return [words.of_limit(one, int(run.pane_end[one.row])) for one in told]

    def _constant(
        self,
        run: PaneTable,
        rules: Rules,
        recent: RecentRows,
        words: Findings,
        *,
        is_gathering: bool,
    ) -> list[MonitorFinding]:
        """Features that have stopped varying."""
        if is_judged(self._kind):
            return []
        watched: Mapping[Key, Watched] = self.watch.watched
        standards = self.standards
        if standards.has_season:
            watched = {key: of for key, of in watched.items() if standards.knows_hours(of.profile)}
        told = self._stale.run(
            run, recent, watched, rules, self._group[0], law=self.law, is_gathering=is_gathering
        )
        share = stale_share(watched, rules) if told else 0.0
        found: list[MonitorFinding] = []
        for one in told:
            sealed = one.profile is not None and standards.is_sealed(one.profile)
            end_ms = int(run.pane_end[one.row])
            found.append(words.of_stale(one, end_ms, share, is_sealed=sealed))
        return found

    def _far(
        self, run: PaneTable, rules: Rules, recent: RecentRows, words: Findings
    ) -> list[MonitorFinding]:
        """What lies beyond thresholds that the owner has set."""
        law = self.law
        if law is None or is_judged(self._kind):
            return []
        told = self._distances.run(
            run, recent, law, rule=rules.thresholds_of(self._group[0]),
            window=rules.kept_rows, pane_ms=rules.pane_ms, ask_after_ms=rules.ask_after_ms,
        )  # fmt: skip
        return [words.of_distance(one, int(run.pane_end[one.row]), law) for one in told]

    def with_runs(self, gathered: Gathered) -> Gathered:
        """What features come in runs it has seen."""
        reference = gathered.reference
        runs = {} if gathered.feature is not None else self._stale.runs(reference)
        return replace(gathered, reference=replace(reference, runs=runs)) if runs else gathered

    def forget_runs(self) -> None:
        self._stale.forget_runs()

    # -- reading

    @property
    def firing(self) -> Fired:
        joint = [(SERIES, MEASURE)] if self._joint.is_firing else []
        slow = [(LATENCY, "objective")] if self._objectives.is_firing else []
        beyond = [(LIMITED, LIMIT)] if self.limits.is_firing else []
        return [
            *self.watch.firing,
            *self.means.firing(),
            *self._distances.firing,
            *self._stale.firing,
            *joint,
            *slow,
            *beyond,
        ]

    def status(self) -> Iterator[SeriesStatus]:
        """Of every unit, as a share of its threshold, and of the means that have told something."""
        for (name, measure), level, is_firing in self.watch.levels():
            yield SeriesStatus(self._group, name, measure, level, 1.0, is_firing)
        nearest = self._joint.level()
        if nearest is not None:
            is_firing = self._joint.is_firing
            yield SeriesStatus(self._group, SERIES, MEASURE, nearest, 1.0, is_firing)
        for name, detector, is_firing, last in self.means.all():
            if last is not None:
                score, threshold = last.statistic, last.threshold
                yield SeriesStatus(self._group, name, detector, score, threshold, is_firing)

    def powers(self, rules: Rules, recent: RecentRows) -> list[dict[str, Any]]:
        """Of all that is watched the smallest change that would be found, and how soon."""
        watch, standards = self.watch, self.standards
        lines = Lines(self._group, watch.learning.traffic())
        found = shown(lines, watch, standards)
        if not is_judged(self._kind):
            found += stuck(lines, watch, standards, recent, rules)
            found += together(lines, self._joint, recent, rules)
        found += self.means.powers(lines, self._group, self._sealed_of)
        rate = self._rate(rules)
        found += self.limits.powers(lines, rules, self._group, rate, self._taus())
        return found

    # -- state

    def bases(self) -> list[Reference]:
        return self.standards.bases(self.watch)

    def snapshot(self) -> dict[str, Any]:
        slow, limits = self._objectives, self.limits.snapshot()
        return {
            **({} if limits is None else {"limits": limits}),
            **({"objectives": slow.snapshot()} if slow.slots or slow.is_firing else {}),
            "law": None if self.law is None else self.law.id,
            **self.standards.of_deployed(),
            "late": self.standards.late(),
            **self._of_unsettled(),
            "provisional": self.standards.provisional_id,
            "watch": self.watch.snapshot(),
            "means": self.means.snapshot(),
            "joint": self._joint.snapshot(),
            "distances": self._distances.snapshot(),
            "stale": self._stale.snapshot(),
        }

    def _of_unsettled(self) -> dict[str, Any]:
        known = self.standards.unsettled.snapshot()
        return {"unsettled": known} if known else {}

    def restore_law(
        self, references: list[Reference], plain: Mapping[str, Any], rules: Rules
    ) -> None:
        law = plain.get("law", references[-1].id if references else None)
        self.standards.restore_deployed(plain)
        for reference in references:
            if reference.id == law:
                self.standards.seal(reference, rules)

    def restore(
        self, bases: Iterable[Reference], plain: Mapping[str, Any], rules: Rules
    ) -> dict[str, Profile]:
        """Behind the law; all profiles by id."""
        late = plain.get("late", [])
        self.standards.unsettled.restore(plain.get("unsettled", {}))
        profiles = self.standards.restore(bases, plain["provisional"], late, rules)
        self.watch.restore(profiles, rules, self._group[0], plain["watch"])
        self.means.restore(plain["means"])
        self._joint.restore(self.standards.law, plain.get("joint"))
        self._distances.restore(plain.get("distances", [0, []]))
        if "objectives" in plain:
            self._objectives = ObjectiveWatch.restore(plain["objectives"])
        self._stale.restore(plain.get("stale", [0, []]))
        self.limits = LimitWatch.restore(plain.get("limits"))
        return profiles
