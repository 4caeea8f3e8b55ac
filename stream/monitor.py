"""Stage 2's watch over one group (model, version, role, segment) and one kind of panes.

Merged panes come in, ends ascending; findings come out. Panes are worked off in runs within which
nothing structural changes (no new series, no sealing), each series of a run in one vector call;
a run ends at a pane, never at a batch, so the batching of the panes does not show.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detectors.moments import mean_and_variance
from stream.alarm import Signal
from stream.columns import Group
from stream.evidence import current_evidence, reference_evidence
from stream.feature_types import FeatureType, FeatureTypes
from stream.monitor_state import Held
from stream.monitor_told import LabelStatus, MonitorFinding, SeriesStatus
from stream.monitored_series import MonitoredSeries
from stream.panes import PaneTable
from stream.rate_events import faults
from stream.rate_series import RateName, RateSeries
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.reference_builder import ReferenceBuilder
from stream.rules import ReferenceRule, Rules
from stream.times import iso
from stream.value_series import ValuePanes, ValueSeries
from stream.verdicts import Context, describe
from stream.watermark import BEFORE_ALL_MS
from stream.wire import PaneKind

_OF_ANY_TYPE: tuple[RateName, ...] = ("null", "absent")


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
        self._series = MonitoredSeries(rules, kind, self._types)
        self._recent = RecentRows(rules.window_rows)
        self.rows = 0
        self.labelled = 0
        if inherited is not None:
            for name, feature in inherited.table.features.items():
                if feature.number[0] + feature.text[0]:
                    numeric = bool(feature.number[0] >= feature.text[0])
                    self._give_birth(name, numeric=numeric, settled=True)
            self._series.share()
            self._series.start(self._series.rates, inherited)

    @property
    def reference(self) -> Reference | None:
        return self.references[-1] if self.references else None

    # -- the walk

    def update(
        self, table: PaneTable, rules: Rules | None = None
    ) -> tuple[list[MonitorFinding], list[Reference]]:
        """Findings, and the reference that these panes completed, if they did.

        `rules`: those in force from these panes on; None: as before."""
        findings: list[MonitorFinding] = []
        if not (rules is None or rules is self.rules or rules == self.rules):
            findings += self._use(rules, table.first_end_ms)
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        table = self._types.admit(table, self.rules.max_features)
        self._recent.add(table)
        sealing = None if self._sealed_own else self._builder.sealing_pane(table)
        births = self._types.births(table)
        settlings = self._types.settlings(table, self.rules.minimum_values)
        cuts = {0, len(table), *births, *settlings, *(() if sealing is None else (sealing + 1,))}
        sealed: list[Reference] = []
        for start, end in pairwise(sorted(cuts)):
            for name in births.get(start, ()):
                feature = table.features[name]
                self._give_birth(name, numeric=bool(feature.number[start] >= feature.text[start]))
            for name in settlings.get(start, ()):
                self._settle_type(name)
            self._series.share()
            run = table.between(int(table.pane_end[start]), int(table.pane_end[end - 1]))
            findings += self._run(run)
            self._types.count(run)
            if not self._sealed_own:
                self._builder.add(run)
            if sealing is not None and end == sealing + 1:
                sealed.append(self._seal())
        self._recent.trim()
        return findings, sealed

    def _use(self, rules: Rules, end_ms: int) -> list[MonitorFinding]:
        """Change to these rules before the pane that ends then; what tells and is ended by them is
        quiet from there on."""
        self.rules = rules
        ended = self._series.use(rules, self.reference)
        return [self._quiet(name, detector, end_ms) for name, detector in ended]

    def quiets(self, end_ms: int) -> list[MonitorFinding]:
        """The end of everything that fires, as of a pane that ends then."""
        firing = self._series.firing()
        return [self._quiet(name, detector, end_ms) for name, detector in firing]

    @property
    def refused_features(self) -> int:
        """Panes of features for which there was no room."""
        return self._types.refused

    @property
    def last_end_ms(self) -> int:
        return self._recent.last_end_ms

    def _quiet(self, name: str, detector: str, end_ms: int) -> MonitorFinding:
        context = Context(self.rules, self.kind, self.group, name, detector, 0.0)
        return MonitorFinding(end_ms, name, context.alertname, None)

    # -- series

    def _give_birth(self, name: str, *, numeric: bool, settled: bool = False) -> None:
        self._types.add(name, FeatureType(numeric, settled=settled))
        self._series.watch(name)

    def _settle_type(self, name: str) -> None:
        """The majority of its first values decides; the first pane had decided until then."""
        known = self._types.get(name)
        if known is not None and known.settle():  # None: there was no room for it
            self._series.change_type(name, self.reference)

    def _run(self, run: PaneTable) -> list[MonitorFinding]:
        findings: list[MonitorFinding] = []
        for name, series in self._series.values.items():
            if name in run.features:
                findings += self._run_values(run, name, series)
        for (name, rate), rates in self._series.rates.items():
            findings += self._run_rate(run, name, rate, rates)
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

    def _run_values(
        self, run: PaneTable, name: str, series: ValueSeries
    ) -> Iterator[MonitorFinding]:
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
        told = series.update(self._context(name, "adwin"), panes)
        for detector, signal in told:
            yield self._finding(name, detector, signal, int(ends[signal.pane]))

    def _run_rate(
        self, run: PaneTable, name: str, rate: RateName, series: RateSeries
    ) -> Iterator[MonitorFinding]:
        events, weights = faults(
            run,
            run.features.get(name),
            rate,
            numeric=self._types[name].numeric,
            frozen=None if self.reference is None else self.reference.feature(name),
            max_categories=self.rules.max_categories,
        )
        having = np.flatnonzero(weights)
        if not len(having):
            return
        ends = run.pane_end[having]
        for signal in series.update(
            self._context(name, rate), ends - self.rules.pane_ms, events[having], weights[having]
        ):
            yield self._finding(name, rate, signal, int(ends[signal.pane]))

    # -- references

    def _seal(self) -> Reference:
        reference = self._builder.seal(self.group, self.kind)
        self.references.append(reference)
        self._sealed_own = True
        self._series.start(self._series.rates, reference)
        return reference

    # -- findings

    def _context(self, name: str, detector: str) -> Context:
        share = self._series.budget_share(detector)
        return Context(self.rules, self.kind, self.group, name, detector, share)

    def _finding(self, name: str, detector: str, signal: Signal, end_ms: int) -> MonitorFinding:
        context = self._context(name, detector)
        alertname = context.alertname
        if signal.change is None:
            return MonitorFinding(end_ms, name, alertname, None)
        window = self._recent.window(signal.change_at_ms, end_ms)
        current = current_evidence(window, name, self.reference)
        before = None if self.reference is None else reference_evidence(self.reference, name)
        detail = describe(context, signal.change, signal.change_at_ms, end_ms)
        if self.reference is None:
            detail["reference"] = {
                "id": f"self:{iso(end_ms)}",
                "count": signal.change.before_weight,
            }
        else:
            detail["reference"] = {"id": self.reference.id, "count": self.reference.count}
        detail["evidence"] = {"current": current, "reference": before or {}}
        return MonitorFinding(end_ms, name, alertname, detail)

    def labels(self) -> LabelStatus:
        """Of the cohorts judged so far; the delay is of the recent ones."""
        column = self._recent.column("outcome:delay_ms")
        delays = np.zeros(0) if column is None else column.numbers()[1]
        p50, p90 = (None, None) if not len(delays) else _quantiles(delays)
        return LabelStatus(self.labelled, self.rows, p50, p90)

    def status(self) -> Iterator[SeriesStatus]:
        """Of the detectors that have told something."""
        for name, detector, is_firing, last in self._series.all():
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
            **self._series.snapshot(),
            "rows": self.rows,
            "labelled": self.labelled,
        }
        building = self._builder.snapshot()
        return Held(plain, list(self.references), building, *self._recent.snapshot())

    @classmethod
    def restore(cls, rules: Rules, reference: ReferenceRule, held: Held) -> Monitor:
        plain = held.plain
        model_id, version, role, segment = plain["group"]
        made = cls(rules, (model_id, version, role, segment), plain["kind"], reference)
        made.first_end_ms = plain["first_end_ms"]
        made.life_ms = plain.get("life_ms", BEFORE_ALL_MS)  # 0.1.0 knew no lives
        made.references = held.references
        made._builder.restore(held.building)
        made._sealed_own = plain["sealed_own"]
        made._types.restore(plain["types"], plain.get("admissions", [[], 0]))  # since 0.2
        made._series.restore(plain)
        made._recent.restore(held.stretches, held.newest)
        made.rows, made.labelled = plain["rows"], plain["labelled"]
        return made


def _quantiles(delays: NDArray[np.float64]) -> tuple[int, int]:
    half, most = np.quantile(delays, [0.5, 0.9], method="inverted_cdf").tolist()
    return int(half), int(most)


def _add_coverage(finding: MonitorFinding, judged: tuple[int, int]) -> None:
    if finding.detail is not None:
        finding.detail["impact"]["label_coverage"] = float(f"{judged[0] / judged[1]:.6g}")
