"""Stage 2's watch over one group (model, version, role, segment) and one kind of panes.

Merged panes come in, ends ascending; findings come out. Panes are worked off in runs within which
nothing structural changes (no new series, no sealing), each series of a run in one vector call;
a run ends at a pane, never at a batch, so the batching of the panes does not show.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from stream.columns import Group
from stream.evidence import RecentRows, current_evidence, reference_evidence
from stream.panes import FeatureTable, Ints, PaneTable, mean_and_variance
from stream.reference import Reference, ReferenceBuilder
from stream.rules import Rules
from stream.series import RateName, RateSeries, Signal, ValuePanes, ValueSeries
from stream.times import iso
from stream.verdicts import Context, describe
from stream.wire import PaneKind, rows_from_plain, rows_to_plain

RATES: tuple[RateName, ...] = ("null", "absent", "type_error", "unseen")
_WATCHED_OUTCOMES = ("outcome:error", "outcome:brier")  # in [0, 1]; unbounded losses are evidence
_SHARE = {"prediction": 0.5, "cohort": 0.5}  # of δ: half for inputs and predictions, half for
# performance, so that a model's many features do not make it slow to see errors


@dataclass(frozen=True, slots=True)
class MonitorFinding:
    pane_end_ms: int
    series: str
    alertname: str
    detail: dict[str, Any] | None  # None: quiet again


@dataclass(frozen=True, slots=True)
class SeriesStatus:
    """For metrics: `score` reaches `threshold` when the detector tells."""

    group: Group
    series: str
    detector: str
    score: float
    threshold: float
    firing: bool


class Monitor:
    def __init__(
        self, rules: Rules, group: Group, kind: PaneKind, inherited: Reference | None = None
    ) -> None:
        self._rules = rules
        self.group = group
        self.kind = kind
        self.first_end_ms: int | None = None
        self.reference = inherited
        self._builder = ReferenceBuilder(rules.reference_of(group[0]), rules)
        self._sealed_own = False
        self._numeric: dict[str, bool] = {}  # feature -> whether it is numeric
        self._values: dict[str, ValueSeries] = {}
        self._rates: dict[tuple[str, RateName], RateSeries] = {}
        self._recent = RecentRows(rules.window_rows)
        self._panes_end_ms: Ints = np.zeros(0, np.int64)
        self.rows = 0
        self.labelled = 0

    # -- the walk

    def update(self, table: PaneTable) -> tuple[list[MonitorFinding], list[Reference]]:
        """Findings, and the reference that these panes completed, if they did."""
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        self._recent.add(table)
        sealing = None if self._sealed_own else self._builder.sealing_pane(table)
        births = self._births(table)
        cuts = sorted({0, len(table), *births} | ({sealing + 1} if sealing is not None else set()))
        findings: list[MonitorFinding] = []
        sealed: list[Reference] = []
        for start, end in pairwise(cuts):
            run = table.between(int(table.pane_end[start]), int(table.pane_end[end - 1]))
            for name in births.get(start, ()):
                self._give_birth(name, table.features[name], start)
            findings += self._run(run)
            if not self._sealed_own:
                self._builder.add(run)
            if sealing is not None and end == sealing + 1:
                sealed.append(self._seal())
        self._recent.trim()
        return findings, sealed

    def _births(self, table: PaneTable) -> dict[int, list[str]]:
        """pane index -> features whose first number or text is there."""
        births: dict[int, list[str]] = {}
        for name, feature in table.features.items():
            if name not in self._numeric:
                has_value = (feature.number + feature.text) > 0
                if has_value.any():
                    births.setdefault(int(has_value.argmax()), []).append(name)
        return births

    def _give_birth(self, name: str, feature: FeatureTable, pane: int) -> None:
        if len(self._numeric) >= self._rules.max_features:
            return
        numeric = bool(feature.number[pane] >= feature.text[pane])
        self._numeric[name] = numeric
        rules = self._rules
        watched = numeric and (self.kind == "prediction" or name in _WATCHED_OUTCOMES)
        if watched and (rules.adwin.enabled or rules.page_hinkley.enabled):
            self._values[name] = ValueSeries(rules, unit_range=self.kind == "cohort")
        if name.startswith("feature:") and rules.rates.enabled:
            for rate in RATES:
                if rate != "unseen" or not numeric:
                    # categories can only be unseen once there is a reference
                    own = RateSeries(rules, self_starting=rate != "unseen")
                    self._rates[name, rate] = own
                    if self.reference is not None:
                        self._start_rate(name, rate, self.reference)
        delta = rules.adwin.delta * _SHARE[self.kind] / max(len(self._values), 1)
        for series in self._values.values():
            series.share(delta)

    def _run(self, run: PaneTable) -> list[MonitorFinding]:
        findings: list[MonitorFinding] = []
        for name, series in self._values.items():
            if name in run.features:
                findings += self._run_values(run, name, series)
        for (name, rate), rates in self._rates.items():
            findings += self._run_rate(run, name, rate, rates)
        if self.kind == "cohort":
            for finding in findings:
                _add_coverage(finding, self._judged(run, finding.pane_end_ms))
            self.labelled, self.rows = self._judged(run, int(run.pane_end[-1]))
        return findings

    def _judged(self, run: PaneTable, end_ms: int) -> tuple[int, int]:
        """(labelled, rows) so far, as of this pane of the run."""
        upto = int(np.searchsorted(run.pane_end, end_ms, "right"))
        labelled = np.zeros(len(run), np.int64)
        for name in ("outcome:error", "outcome:absolute_error"):
            if name in run.features:
                labelled = np.maximum(labelled, run.features[name].number)
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
            ends - self._rules.pane_ms,
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
        feature = run.features.get(name)
        if feature is None:  # nobody sent this feature in these panes
            events = run.rows if rate == "absent" else np.zeros(len(run), np.int64)
        else:
            events = self._events(feature, run, name, rate)
        weights = run.rows
        if rate == "unseen":
            weights = np.zeros(len(run), np.int64) if feature is None else feature.text
        having = np.flatnonzero(weights)
        if not len(having):
            return
        ends = run.pane_end[having]
        for signal in series.update(
            self._context(name, rate), ends - self._rules.pane_ms, events[having], weights[having]
        ):
            yield self._finding(name, rate, signal, int(ends[signal.pane]))

    def _events(self, feature: FeatureTable, run: PaneTable, name: str, rate: RateName) -> Ints:
        present = feature.number + feature.text + feature.null + feature.other
        if rate == "null":
            return feature.null
        if rate == "absent":
            return run.rows - present
        if rate == "type_error":
            wrong = feature.text if self._numeric[name] else feature.number
            return wrong + feature.other
        frozen = None if self.reference is None else self.reference.feature(name)
        if frozen is None:
            return np.zeros(len(run), np.int64)
        cells = feature.categories
        known = np.isin(cells.key, frozen.categories.key)
        seen = np.bincount(cells.pane[known], weights=cells.count[known], minlength=len(run))
        counted = np.bincount(cells.pane, weights=cells.count, minlength=len(run))
        if len(frozen.categories.key) >= self._rules.max_categories:
            # more categories than are counted: only those counted on both sides can be judged
            limit = frozen.categories.key.max()
            comparable = cells.key <= limit
            counted = np.bincount(
                cells.pane[comparable], weights=cells.count[comparable], minlength=len(run)
            )
            return (counted - seen).astype(np.int64)
        return (feature.text - seen).astype(np.int64)

    # -- references

    def _seal(self) -> Reference:
        self.reference = reference = self._builder.seal(self.group, self.kind)
        self._sealed_own = True
        for name, rate in self._rates:
            self._start_rate(name, rate, reference)
        return reference

    def _start_rate(self, name: str, rate: RateName, reference: Reference) -> None:
        frozen, series = reference.feature(name), self._rates[name, rate]
        if frozen is None:
            return  # a feature that the reference does not know starts from its own values
        rows = reference.table.rows
        of_pane = {
            "null": int(frozen.null[0]),
            "absent": int((rows - frozen.number - frozen.text - frozen.null - frozen.other)[0]),
            "type_error": int(
                (frozen.text if self._numeric[name] else frozen.number)[0] + frozen.other[0]
            ),
            # Good and Turing: the unseen mass is the share of categories seen once
            "unseen": int((frozen.categories.count == 1).sum()),
        }
        weight = int(frozen.text[0]) if rate == "unseen" else int(rows[0])
        if weight:
            series.start(of_pane[rate] / weight, weight)

    # -- findings

    def _context(self, name: str, detector: str) -> Context:
        rate = detector in RATES
        share = 1.0 / len(self._rates) if rate else _SHARE[self.kind] / len(self._values)
        return Context(self._rules, self.kind, self.group, name, detector, share)

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

    def status(self) -> Iterator[SeriesStatus]:
        for name, series in self._values.items():
            for detector, alarm in series.alarms.items():
                last = series.last.get(detector)
                score, threshold = (last.statistic, last.threshold) if last else (0.0, 1.0)
                yield SeriesStatus(self.group, name, detector, score, threshold, alarm.firing)
        for (name, rate), rates in self._rates.items():
            score, threshold = (
                (rates.last.statistic, rates.last.threshold) if rates.last else (0.0, 1.0)
            )
            yield SeriesStatus(self.group, name, rate, score, threshold, rates.alarm.firing)

    # -- state

    def snapshot(self) -> dict[str, Any]:
        rows, ends, limits = self._recent.snapshot()
        return {
            "group": list(self.group),
            "kind": self.kind,
            "first_end_ms": self.first_end_ms,
            "reference": None if self.reference is None else self.reference.to_plain(),
            "builder": self._builder.snapshot(),
            "sealed_own": self._sealed_own,
            "numeric": self._numeric,
            "values": {name: s.snapshot() for name, s in self._values.items()},
            "rates": [[name, rate, s.snapshot()] for (name, rate), s in self._rates.items()],
            "recent": [None if rows is None else rows_to_plain(rows), ends, limits],
            "rows": self.rows,
            "labelled": self.labelled,
        }

    @classmethod
    def restore(cls, rules: Rules, plain: dict[str, Any]) -> Monitor:
        model_id, version, role, segment = plain["group"]
        made = cls(rules, (model_id, version, role, segment), plain["kind"])
        made.first_end_ms = plain["first_end_ms"]
        reference = plain["reference"]
        made.reference = None if reference is None else Reference.from_plain(reference)
        made._builder.restore(plain["builder"])
        made._sealed_own = plain["sealed_own"]
        made._numeric = plain["numeric"]
        made._values = {n: ValueSeries.restore(rules, s) for n, s in plain["values"].items()}
        made._rates = {(n, r): RateSeries.restore(rules, s) for n, r, s in plain["rates"]}
        rows, ends, limits = plain["recent"]
        made._recent.restore(None if rows is None else rows_from_plain(rows), ends, limits)
        made.rows, made.labelled = plain["rows"], plain["labelled"]
        return made


def _add_coverage(finding: MonitorFinding, judged: tuple[int, int]) -> None:
    if finding.detail is not None:
        finding.detail["impact"]["label_coverage"] = float(f"{judged[0] / judged[1]:.6g}")
