"""Stage 2's watch over one group (model, version, role, segment) and one kind of panes.

Merged panes come in, ends ascending; findings come out. Panes are worked off in runs within which
nothing structural changes (no new series, no other reference), all series of a run in one call;
a run ends at a pane, never at a batch, so the batching of the panes does not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from stream.budget import false_alerts_per_prediction
from stream.columns import Group
from stream.concert import Concert, Raised
from stream.distance_watch import DistanceWatch
from stream.feature_types import FeatureType, FeatureTypes
from stream.findings import Findings
from stream.gathering import Gathering
from stream.joint_watch import MEASURE, SERIES, JointWatch
from stream.label_counts import LabelCounts
from stream.monitor_state import Held, fired_in_version_1
from stream.monitor_told import LabelStatus, MonitorFinding, SeriesStatus
from stream.monitored_series import MonitoredSeries
from stream.panes import PaneTable
from stream.power import shown
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.rules import ReferenceRule, Rules
from stream.standards import Standards
from stream.watch import Watch
from stream.watermark import BEFORE_ALL_MS
from stream.wire import PaneKind


class Monitor:
    def __init__(
        self,
        rules: Rules,
        group: Group,
        kind: PaneKind,
        reference: ReferenceRule,
        inherited: Reference | None = None,
    ) -> None:
        self.rules = rules
        self.group = group
        self.kind = kind
        self.first_end_ms: int | None = None
        self.life_ms = BEFORE_ALL_MS  # first pane end of the life that this watches
        self.references = [] if inherited is None else [inherited]  # all that were in force
        self.renewed_at: int | None = None  # the offset of the last renewal in force
        self._rule = reference
        self._types = FeatureTypes()
        self._begin_anew()
        if inherited is not None:
            self._standards.seal(inherited, rules)
        self._recent = RecentRows(rules.window_rows)
        self._ended: list[tuple[str, str]] = []  # what fires and is watched no more
        self._labels = LabelCounts()
        if inherited is not None:
            for name, feature in inherited.table.features.items():
                if feature.number[0] + feature.text[0]:
                    numeric = bool(feature.number[0] >= feature.text[0])
                    self._give_birth(name, numeric=numeric, settled=True)
            self._arrange()

    def _begin_anew(self) -> None:
        """With nothing to compare with."""
        self._gathering = Gathering(self._rule, self.rules, self.group, self.kind)
        self._standards = Standards(self.kind, self.group[0])
        self._watch = Watch(self._rule.predictions)
        self._means = MonitoredSeries(self.rules, self.kind, self._types)
        self._joint = JointWatch()
        self._distances = DistanceWatch()

    @property
    def reference(self) -> Reference | None:
        """In force."""
        law = self._standards.law
        return None if law is None else law.reference

    # -- the walk

    def update(
        self, table: PaneTable, rules: Rules | None = None
    ) -> tuple[list[MonitorFinding], list[Reference]]:
        """Findings, and the reference that these panes completed, if they did.

        `rules`: those in force from these panes on; None: as before."""
        ended, self._ended = self._ended, []
        because = "it is watched no more"
        findings = [self._words.quiet(*one, table.first_end_ms, because) for one in ended]
        if not (rules is None or rules is self.rules or rules == self.rules):
            findings += self._use(rules, table.first_end_ms)
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        table = self._types.admit(table, self.rules.max_features)
        self._recent.add(table)
        first = self.rules.minimum_values
        births = self._types.births(table)
        settlings = self._types.settlings(table, first)
        closings = self._watch.learning.closings(table, self.rules.pane_ms)
        ends = sorted({len(table), *births, *settlings, *(pane + 1 for pane in closings)})
        sealed: list[Reference] = []
        start = 0
        for end in ends:
            while start < end:
                new = births.get(start, ()), settlings.get(start, ())
                findings += self._begin(table, start, *new)
                stop = self._gathering.next_stop(table, start, first)
                stop = end if stop is None else min(stop + 1, end)
                run = table.between(int(table.pane_end[start]), int(table.pane_end[stop - 1]))
                findings += self._run(run)
                self._types.count(run)
                self._watch.learning.count(run, self.rules.pane_ms)
                if stop - 1 in closings:
                    self._watch.learn()
                findings += self._gather(run, sealed)
                start = stop
        self._recent.trim()
        return findings, sealed

    def renew(self, renewed_at: int | None, end_ms: int) -> list[MonitorFinding]:
        """The owner accepts how things are: the old reference ends before the pane that ends then,
        and what fires with it; a new one is gathered."""
        quiet = self.quiets(end_ms, "a new reference was accepted")
        self._begin_anew()
        for name in self._types:
            self._means.watch(name)
        self.renewed_at = renewed_at
        return quiet

    def _begin(
        self, table: PaneTable, start: int, births: Sequence[str], settlings: Sequence[str]
    ) -> list[MonitorFinding]:
        """What is new at this pane: features, and their types."""
        for name in births:
            feature = table.features[name]
            self._give_birth(name, numeric=bool(feature.number[start] >= feature.text[start]))
            self._gathering.begin_late(name)
        changed = [name for name in settlings if self._settle_type(name)]
        self._means.share(self._false_alerts())
        if not (births or changed):
            return []
        return self._arrange(int(table.pane_end[start]))

    def _use(self, rules: Rules, end_ms: int) -> list[MonitorFinding]:
        """Change to these rules before the pane that ends then; what tells and is ended by them is
        quiet from there on."""
        self.rules = rules
        ended = self._means.use(rules)
        self._standards.use(rules)
        self._gathering.use()
        ended += self._distances.use(rules.thresholds_of(self.group[0]))
        quiet = [self._words.quiet(name, detector, end_ms) for name, detector in ended]
        return quiet + self._arrange(end_ms, anew=True)

    def quiets(self, end_ms: int, because: str) -> list[MonitorFinding]:
        """The end of everything that fires, as of a pane that ends then."""
        firing = [*self._watch.firing, *self._means.firing(), *self._distances.firing]
        firing += [(SERIES, MEASURE)] if self._joint.is_firing else []
        return [self._words.quiet(name, detector, end_ms, because) for name, detector in firing]

    @property
    def refused_features(self) -> int:
        """Panes of features for which there was no room."""
        return self._types.refused

    @property
    def last_end_ms(self) -> int:
        return self._recent.last_end_ms

    @property
    def _words(self) -> Findings:
        return Findings(self.rules, self.group, self.kind, self._recent)

    def _false_alerts(self) -> float:
        """That the model may raise, a prediction."""
        budget, newest = self.rules.budget_of(self.group[0]), self._standards.newest
        if newest is None:  # its traffic is not known yet
            return 1.0 / budget.predictions
        span_ms = newest.end_ms - newest.start_ms
        return false_alerts_per_prediction(budget, newest.count, span_ms)

    # -- what is watched

    def _give_birth(self, name: str, *, numeric: bool, settled: bool = False) -> None:
        self._types.add(name, FeatureType(numeric, settled=settled))
        self._means.watch(name)

    def _settle_type(self, name: str) -> bool:
        """The majority of its first values decides; the first pane had decided until then."""
        known = self._types.get(name)
        if known is None or not known.settle():  # None: there was no room for it
            return False
        self._means.change_type(name)
        return True

    def _arrange(self, end_ms: int = 0, *, anew: bool = False) -> list[MonitorFinding]:
        """Watch from the next pane on what references there are for; what fires and is watched no
        more is quiet. `anew`: the terms of all have changed."""
        recent = self._recent.window(BEFORE_ALL_MS, end_ms) if self._standards.has_begun else None
        ended = self._standards.arrange(
            self._watch, self._numeric, self.rules, recent=recent, anew=anew
        )
        self._watch.gather(None if self._gathering.is_done else self._standards.gathered)
        quiet = [self._words.quiet(name, measure, end_ms) for name, measure in ended]
        if self.kind == "prediction":
            taus = {key: one.terms.tau for key, one in self._watch.watched.items()}
            law, model_id = self._standards.law, self.group[0]
            if law is not None and law.reference.seasons:
                law = None  # between features the hours are not told apart
            if self._joint.arrange(law, self._numeric, taus, self.rules, model_id):
                quiet.append(self._words.quiet(SERIES, MEASURE, end_ms))
        return quiet

    @property
    def _numeric(self) -> dict[str, bool]:
        return {name: self._types[name].numeric for name in self._types}

    # -- runs

    def _run(self, run: PaneTable) -> list[MonitorFinding]:
        words, standards = self._words, self._standards
        firing = list(self._watch.firing)
        told = self._watch.run(run, self.rules)
        concert = Concert(firing)
        findings: list[MonitorFinding] = []
        for one in concert.of(told):
            end_ms = int(run.pane_end[one.row])
            if isinstance(one, Raised):
                findings.append(words.raised(one.key, end_ms))
                continue
            sealed = standards.is_sealed(one.watched.profile)
            moved_along = concert.moved_along(one)
            found = words.of_unit(one, end_ms, is_sealed=sealed, moved_along=moved_along)
            findings += [] if found is None else [found]
        findings += [
            words.of_joint(joint, int(run.pane_end[joint.row]), self._joint)
            for joint in self._joint.run(run, self.rules, firing, told)
        ]
        findings += self._means.run(run, words, self.reference)
        findings += self._far(run, words)
        if self.kind == "cohort":
            self._labels.count(run, findings)
        return findings

    def _far(self, run: PaneTable, words: Findings) -> list[MonitorFinding]:
        """What lies beyond thresholds that the owner has set."""
        rules, law = self.rules, self.reference
        if law is None or self.kind == "cohort":
            return []
        told = self._distances.run(
            run, self._recent, law, rule=rules.thresholds_of(self.group[0]),
            window=rules.kept_rows, pane_ms=rules.pane_ms,
        )  # fmt: skip
        return [words.of_distance(one, int(run.pane_end[one.row]), law) for one in told]

    # -- references

    def _gather(self, run: PaneTable, sealed: list[Reference]) -> list[MonitorFinding]:
        """What a run has completed, and `sealed` with it."""
        is_new = False
        for gathered in self._gathering.add(run, self.rules.minimum_values):
            if not self._standards.take(gathered, self.rules):
                continue
            is_new = True
            if not gathered.is_sealed:
                continue
            sealed.append(gathered.reference)
            if gathered.feature is None:
                self.references.append(gathered.reference)
                self._recent.keep(self.rules.kept_rows)
                for name in self._types:
                    if self._standards.lacks(name, self.rules):
                        self._gathering.begin_late(name)
        if not is_new:
            return []
        findings = self._arrange(run.last_end_ms)
        frame = self._standards.frame(self._numeric, self.rules)
        if frame is not None:
            self._gathering.frame(*frame)
        return findings

    # -- reading

    def labels(self) -> LabelStatus:
        """Of the cohorts judged so far."""
        return self._labels.status(self._recent)

    def status(self) -> Iterator[SeriesStatus]:
        """Of every unit, as a share of its threshold, and of the means that have told something."""
        for (name, measure), level, is_firing in self._watch.levels():
            yield SeriesStatus(self.group, name, measure, level, 1.0, is_firing)
        nearest = self._joint.level()
        if nearest is not None:
            is_firing = self._joint.is_firing
            yield SeriesStatus(self.group, SERIES, MEASURE, nearest, 1.0, is_firing)
        for name, detector, is_firing, last in self._means.all():
            if last is not None:
                score, threshold = last.statistic, last.threshold
                yield SeriesStatus(self.group, name, detector, score, threshold, is_firing)

    def powers(self) -> list[dict[str, Any]]:
        """The smallest change of each unit that would be found, and how soon."""
        return shown(self.group, self._watch, self._standards)

    # -- state

    def snapshot(self) -> Held:
        plain = {
            "group": list(self.group),
            "rules": self.rules.config_hash(),
            "kind": self.kind,
            "first_end_ms": self.first_end_ms,
            "life_ms": self.life_ms,
            "sealed_own": self._gathering.is_done,
            "law": None if self.reference is None else self.reference.id,
            "renewed_at": self.renewed_at,
            "gathering": self._gathering.snapshot(),
            "late": self._standards.late(),
            "types": self._types.snapshot(),
            "admissions": self._types.admissions(),
            "provisional": self._standards.provisional_id,
            "watch": self._watch.snapshot(),
            "means": self._means.snapshot(),
            "joint": self._joint.snapshot(),
            "distances": self._distances.snapshot(),
            "ended": self._ended,
            **self._labels.snapshot(),
        }
        bases = [*self._standards.bases(self._watch), *self._gathering.bases]
        building = self._gathering.building()
        return Held(plain, list(self.references), bases, building, *self._recent.snapshot())

    @classmethod
    def restore(cls, rules: Rules, reference: ReferenceRule, held: Held) -> Monitor:
        """Of 0.1.0 all but the detectors, which begin anew."""
        plain = held.plain
        model_id, version, role, segment = plain["group"]
        made = cls(rules, (model_id, version, role, segment), plain["kind"], reference)
        made.first_end_ms = plain["first_end_ms"]
        made.life_ms = plain.get("life_ms", BEFORE_ALL_MS)  # 0.1.0 knew no lives
        made.references = held.references
        made._types.restore(plain["types"], plain.get("admissions", [[], 0]))  # since 0.2
        made._recent.restore(held.stretches, held.newest)
        made._labels = LabelCounts(plain["labelled"], plain["rows"])
        made.renewed_at = plain.get("renewed_at")
        made._restore_law(plain.get("law", held.references[-1].id if held.references else None))
        profiles: dict[str, Profile] = {}
        if "watch" in plain:
            late = plain.get("late", [])
            profiles = made._standards.restore(held.bases, plain["provisional"], late, rules)
        gathering, is_done = plain.get("gathering", {}), plain["sealed_own"]
        made._gathering.restore(held.building, gathering, profiles, is_done=is_done)
        if is_done:
            made._recent.keep(rules.kept_rows)
        if "watch" in plain:
            made._watch.restore(profiles, rules, model_id, plain["watch"])
            made._means.restore(plain["means"])
            made._joint.restore(made._standards.law, plain.get("joint"))
            made._distances.restore(plain.get("distances", [0, []]))
            made._ended = [(name, detector) for name, detector in plain["ended"]]
        else:
            made._ended = fired_in_version_1(plain)
            for name in made._types:
                made._means.watch(name)
            made._arrange()
        return made

    def _restore_law(self, law: str | None) -> None:
        for reference in self.references:
            if reference.id == law:
                self._standards.seal(reference, self.rules)
