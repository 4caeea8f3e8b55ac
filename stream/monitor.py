"""Stage 2's watch over one group (model, version, role, segment) and one kind of panes.

Merged panes come in, ends ascending; findings come out. Panes are worked off in runs within which
nothing structural changes (no new series, no other reference), all series of a run in one call;
a run ends at a pane, never at a batch, so the batching of the panes does not show.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.moments import mean_and_variance
from stream.alarm import Alarm
from stream.budget import false_alerts_per_prediction
from stream.columns import Group
from stream.feature_types import FeatureType, FeatureTypes
from stream.findings import Findings
from stream.joint_watch import MEASURE, SERIES, JointWatch
from stream.monitor_state import Held
from stream.monitor_told import LabelStatus, MonitorFinding, SeriesStatus
from stream.monitored_series import MonitoredSeries
from stream.panes import PaneTable
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.reference_builder import ReferenceBuilder
from stream.rules import ReferenceRule, Rules
from stream.standards import Standards
from stream.value_series import ValuePanes, ValueSeries
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
        self.references = [] if inherited is None else [inherited]  # the last one is in force
        self._builder = ReferenceBuilder(reference, rules)
        self._sealed_own = False
        self._types = FeatureTypes()
        self._standards = Standards(kind, group[0])
        if inherited is not None:
            self._standards.seal(inherited, rules)
        self._watch = Watch(reference.predictions)
        self._means = MonitoredSeries(rules, kind, self._types)
        self._joint = JointWatch()
        self._recent = RecentRows(rules.window_rows)
        self._ended: list[tuple[str, str]] = []  # what fires and is watched no more
        self.rows = 0
        self.labelled = 0
        if inherited is not None:
            for name, feature in inherited.table.features.items():
                if feature.number[0] + feature.text[0]:
                    numeric = bool(feature.number[0] >= feature.text[0])
                    self._give_birth(name, numeric=numeric, settled=True)
            self._arrange()

    @property
    def reference(self) -> Reference | None:
        return self.references[-1] if self.references else None

    # -- the walk

    def update(
        self, table: PaneTable, rules: Rules | None = None
    ) -> tuple[list[MonitorFinding], list[Reference]]:
        """Findings, and the reference that these panes completed, if they did.

        `rules`: those in force from these panes on; None: as before."""
        ended, self._ended = self._ended, []
        findings = [self._words.quiet(*one, table.first_end_ms) for one in ended]
        if not (rules is None or rules is self.rules or rules == self.rules):
            findings += self._use(rules, table.first_end_ms)
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        table = self._types.admit(table, self.rules.max_features)
        self._recent.add(table)
        sealing = None if self._sealed_own else self._builder.sealing_pane(table)
        first = self.rules.minimum_values
        grown = set() if self._sealed_own else {*self._builder.milestones(table, first)}
        births = self._types.births(table)
        settlings = self._types.settlings(table, first)
        closings = self._watch.learning.closings(table, self.rules.pane_ms)
        ends = {pane + 1 for pane in (*grown, *closings)}
        ends |= set() if sealing is None else {sealing + 1}
        sealed: list[Reference] = []
        for start, end in pairwise(sorted({0, len(table), *births, *settlings, *ends})):
            findings += self._begin(table, start, births.get(start, ()), settlings.get(start, ()))
            run = table.between(int(table.pane_end[start]), int(table.pane_end[end - 1]))
            findings += self._run(run)
            self._types.count(run)
            self._watch.learning.count(run, self.rules.pane_ms)
            if end - 1 in closings:
                self._watch.learn()
            if not self._sealed_own:
                self._builder.add(run)
            if sealing is not None and end == sealing + 1:
                sealed.append(self._seal())
                findings += self._arrange(run.last_end_ms)
            elif end - 1 in grown and not self._sealed_own:
                so_far = self._builder.so_far(self.group, self.kind)
                self._standards.begin(so_far, self.rules)
                findings += self._arrange(run.last_end_ms)
        self._recent.trim()
        return findings, sealed

    def _begin(
        self, table: PaneTable, start: int, births: Sequence[str], settlings: Sequence[str]
    ) -> list[MonitorFinding]:
        """What is new at this pane: features, and their types."""
        for name in births:
            feature = table.features[name]
            self._give_birth(name, numeric=bool(feature.number[start] >= feature.text[start]))
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
        quiet = [self._words.quiet(name, detector, end_ms) for name, detector in ended]
        return quiet + self._arrange(end_ms, anew=True)

    def quiets(self, end_ms: int) -> list[MonitorFinding]:
        """The end of everything that fires, as of a pane that ends then."""
        firing = [*self._watch.firing, *self._means.firing()]
        firing += [(SERIES, MEASURE)] if self._joint.is_firing else []
        return [self._words.quiet(name, detector, end_ms) for name, detector in firing]

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
        numeric = {name: self._types[name].numeric for name in self._types}
        recent = self._recent.window(BEFORE_ALL_MS, end_ms) if self._standards.has_begun else None
        ended = self._standards.arrange(self._watch, numeric, self.rules, recent=recent, anew=anew)
        self._watch.gather(None if self._sealed_own else self._standards.gathered)
        quiet = [self._words.quiet(name, measure, end_ms) for name, measure in ended]
        if self.kind == "prediction":
            taus = {key: one.terms.tau for key, one in self._watch.watched.items()}
            law, model_id = self._standards.law, self.group[0]
            if self._joint.arrange(law, numeric, taus, self.rules, model_id):
                quiet.append(self._words.quiet(SERIES, MEASURE, end_ms))
        return quiet

    # -- runs

    def _run(self, run: PaneTable) -> list[MonitorFinding]:
        words, law = self._words, self._standards.law
        firing = list(self._watch.firing)
        told = self._watch.run(run, self.rules)
        findings = [words.of_unit(one, int(run.pane_end[one.row]), law) for one in told]
        findings += [
            words.of_joint(joint, int(run.pane_end[joint.row]), self._joint)
            for joint in self._joint.run(run, self.rules, firing, told)
        ]
        for name, series in self._means.values.items():
            if name in run.features:
                findings += self._run_mean(run, name, series)
        if self.kind == "cohort":
            for finding in findings:
                _add_coverage(finding, self._judged(run, finding.pane_end_ms))
            self.labelled, self.rows = self._judged(run, int(run.pane_end[-1]))
        return findings

    def _judged(self, run: PaneTable, end_ms: int) -> tuple[int, int]:
        """(labelled, rows) so far, as of this pane of the run."""
        upto = int(np.searchsorted(run.pane_end, end_ms, "right"))
        labelled = run.features["outcome:delay_ms"].number
        return self.labelled + int(labelled[:upto].sum()), self.rows + int(run.rows[:upto].sum())

    def _run_mean(self, run: PaneTable, name: str, series: ValueSeries) -> Iterator[MonitorFinding]:
        feature = run.features[name]
        mean, variance = mean_and_variance(feature.number, feature.sums, feature.squares)
        having = np.flatnonzero(feature.number)
        if not len(having):
            return
        ends = run.pane_end[having]
        panes = ValuePanes(
            ends - self.rules.pane_ms,
            feature.number[having],
            mean[having],
            variance[having],
            feature.minimum[having],
            feature.maximum[having],
        )
        share = self._means.budget_share
        for detector, signal in series.update(self._words.context(name, "adwin", share), panes):
            end_ms = int(ends[signal.pane])
            yield self._words.of_mean(
                name, detector, signal, end_ms, share=share, reference=self.reference
            )

    # -- references

    def _seal(self) -> Reference:
        reference = self._builder.seal(self.group, self.kind)
        self.references.append(reference)
        self._sealed_own = True
        self._recent.keep(self.rules.kept_rows)
        self._standards.seal(reference, self.rules)
        return reference

    # -- reading

    def labels(self) -> LabelStatus:
        """Of the cohorts judged so far; the delay is of the recent ones."""
        column = self._recent.column("outcome:delay_ms")
        delays = np.zeros(0) if column is None else column.numbers()[1]
        p50, p90 = (None, None) if not len(delays) else _quantiles(delays)
        return LabelStatus(self.labelled, self.rows, p50, p90)

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

    # -- state

    def snapshot(self) -> Held:
        plain = {
            "group": list(self.group),
            "rules": self.rules.config_hash(),
            "kind": self.kind,
            "first_end_ms": self.first_end_ms,
            "life_ms": self.life_ms,
            "sealed_own": self._sealed_own,
            "types": self._types.snapshot(),
            "admissions": self._types.admissions(),
            "provisional": self._standards.provisional_id,
            "watch": self._watch.snapshot(),
            "means": self._means.snapshot(),
            "joint": self._joint.snapshot(),
            "ended": self._ended,
            "rows": self.rows,
            "labelled": self.labelled,
        }
        bases = self._standards.bases(self._watch)
        building = self._builder.snapshot()
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
        made._builder.restore(held.building)
        made._sealed_own = plain["sealed_own"]
        made._types.restore(plain["types"], plain.get("admissions", [[], 0]))  # since 0.2
        made._recent.restore(held.stretches, held.newest)
        if made._sealed_own:
            made._recent.keep(rules.kept_rows)
        made.rows, made.labelled = plain["rows"], plain["labelled"]
        if made.reference is not None:
            made._standards.seal(made.reference, rules)
        if "watch" in plain:
            profiles = made._standards.restore(held.bases, plain["provisional"], rules)
            made._watch.restore(profiles, rules, model_id, plain["watch"])
            made._means.restore(plain["means"])
            made._joint.restore(made._standards.law, plain.get("joint"))
            made._ended = [(name, detector) for name, detector in plain["ended"]]
        else:
            made._ended = _fired_in_version_1(plain)
            for name in made._types:
                made._means.watch(name)
            made._arrange()
        return made


def _fired_in_version_1(plain: dict[str, Any]) -> list[tuple[str, str]]:
    """(series, detector, as it is called now) of what fired under the detectors of 0.1.0."""
    fired = [
        (name, "shift" if detector == "adwin" else detector)
        for name, series in plain["values"].items()
        for detector, alarm in series["alarms"].items()
        if Alarm.restore(alarm).firing
    ]
    return fired + [(n, rate) for n, rate, s in plain["rates"] if Alarm.restore(s["alarm"]).firing]


def _quantiles(delays: NDArray[np.float64]) -> tuple[int, int]:
    half, most = np.quantile(delays, [0.5, 0.9], method="inverted_cdf").tolist()
    return int(half), int(most)


def _add_coverage(finding: MonitorFinding, judged: tuple[int, int]) -> None:
    if finding.detail is not None and not finding.lasting:
        finding.detail["impact"]["label_coverage"] = float(f"{judged[0] / judged[1]:.6g}")
