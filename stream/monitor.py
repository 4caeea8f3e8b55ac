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
from numpy.typing import NDArray

from detectors.moments import mean_and_variance
from stream.alarm import SharedTimes, Signal, with_times
from stream.columns import Group
from stream.evidence import current_evidence, reference_evidence
from stream.monitor_state import Held
from stream.panes import PaneTable
from stream.rate_events import RATES, faults, rate_of
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
_WATCHED_OUTCOMES = ("outcome:error", "outcome:brier")  # in [0, 1]; unbounded losses are evidence
_SHARE = {"prediction": 0.5, "cohort": 0.5}  # of δ: half for inputs and predictions, half for
# performance, so that a model's many features do not make it slow to see errors


@dataclass(slots=True)
class FeatureType:
    """What a feature's values are, by the majority of the first of them once that is settled."""

    numeric: bool
    numbers: int = 0
    texts: int = 0
    settled: bool = False

    @property
    def count(self) -> int:
        return self.numbers + self.texts


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


@dataclass(frozen=True, slots=True)
class LabelStatus:
    """How many of the judged predictions were labelled, and how late their labels were."""

    labelled: int
    judged: int
    delay_p50_ms: int | None
    delay_p90_ms: int | None


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
        self._types: dict[str, FeatureType] = {}
        self._values: dict[str, ValueSeries] = {}
        self._rates: dict[tuple[str, RateName], RateSeries] = {}
        self._recent = RecentRows(rules.window_rows)
        self.rows = 0
        self.labelled = 0
        if inherited is not None:
            for name, feature in inherited.table.features.items():
                if feature.number[0] + feature.text[0]:
                    numeric = bool(feature.number[0] >= feature.text[0])
                    self._give_birth(name, numeric=numeric, settled=True)
            self._share()
            for name, rate in self._rates:
                self._start_rate(name, rate, inherited)

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
            findings += self._use(rules, int(table.pane_end[0]))
        if self.first_end_ms is None:
            self.first_end_ms = int(table.pane_end[0])
        self._recent.add(table)
        sealing = None if self._sealed_own else self._builder.sealing_pane(table)
        births, settlings = self._births(table), self._settlings(table)
        cuts = {0, len(table), *births, *settlings, *(() if sealing is None else (sealing + 1,))}
        sealed: list[Reference] = []
        for start, end in pairwise(sorted(cuts)):
            for name in births.get(start, ()):
                feature = table.features[name]
                self._give_birth(name, numeric=bool(feature.number[start] >= feature.text[start]))
            for name in settlings.get(start, ()):
                self._settle_type(name)
            self._share()
            run = table.between(int(table.pane_end[start]), int(table.pane_end[end - 1]))
            findings += self._run(run)
            self._count_types(run)
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
        ended = []
        for name, series in list(self._values.items()):
            ended += [(name, detector) for detector in series.use(rules)]
            if not series.alarms:
                del self._values[name]
        if rules.rates.enabled:
            for rates in self._rates.values():
                rates.use(rules)
        else:
            ended += [place for place, rates in self._rates.items() if rates.alarm.firing]
            self._rates = {}
        before = set(self._rates)
        for name in self._types:
            self._watch(name)
        self._share()
        if self.reference is not None:
            for place in self._rates.keys() - before:
                self._start_rate(*place, self.reference)
        return [self._quiet(name, detector, end_ms) for name, detector in ended]

    def quiets(self, end_ms: int) -> list[MonitorFinding]:
        """The end of everything that fires, as of a pane that ends then."""
        firing = [
            (name, detector)
            for name, series in self._values.items()
            for detector, alarm in series.alarms.items()
            if alarm.firing
        ]
        firing += [place for place, rates in self._rates.items() if rates.alarm.firing]
        return [self._quiet(name, detector, end_ms) for name, detector in firing]

    @property
    def last_end_ms(self) -> int:
        return self._recent.last_end_ms

    def _quiet(self, name: str, detector: str, end_ms: int) -> MonitorFinding:
        context = Context(self.rules, self.kind, self.group, name, detector, 0.0)
        return MonitorFinding(end_ms, name, context.alertname, None)

    def _births(self, table: PaneTable) -> dict[int, list[str]]:
        """pane index -> new features whose first number or text is there; as many as there is
        room for."""
        first = [
            (int((feature.number + feature.text > 0).argmax()), name)
            for name, feature in table.features.items()
            if name not in self._types and (feature.number + feature.text).any()
        ]
        births: dict[int, list[str]] = {}
        for pane, name in sorted(first)[: self.rules.max_features - len(self._types)]:
            births.setdefault(pane, []).append(name)
        return births

    def _settlings(self, table: PaneTable) -> dict[int, list[str]]:
        """pane index -> features whose type is settled there: the panes before it complete the
        first values by which it is decided. A pane after the last is left to the next table."""
        settlings: dict[int, list[str]] = {}
        for name in [*self._types, *(n for n in table.features if n not in self._types)]:
            known = self._types.get(name, FeatureType(numeric=True))
            if known.settled:
                continue
            feature = table.features.get(name)
            values = np.zeros(0, np.int64) if feature is None else feature.number + feature.text
            count = known.count + np.concatenate([[0], np.cumsum(values)])
            enough = count[: len(table)] >= self.rules.minimum_values
            if enough.any():
                settlings.setdefault(int(enough.argmax()), []).append(name)
        return settlings

    # -- series

    def _give_birth(self, name: str, *, numeric: bool, settled: bool = False) -> None:
        self._types[name] = FeatureType(numeric, settled=settled)
        self._watch(name)

    def _watch(self, name: str) -> None:
        """Begin the series of a feature that the rules want and that are not there yet."""
        rules, numeric = self.rules, self._types[name].numeric
        watched = numeric and (self.kind == "prediction" or name in _WATCHED_OUTCOMES)
        if watched and (rules.adwin.enabled or rules.page_hinkley.enabled):
            self._values.setdefault(name, ValueSeries(rules, unit_range=self.kind == "cohort"))
        if not (name.startswith("feature:") and rules.rates.enabled):
            return
        for rate in RATES:
            if rate == "unseen" and numeric:
                continue
            if (name, rate) not in self._rates:
                # categories can only be unseen once there is a reference
                self._rates[name, rate] = RateSeries(rules, self_starting=rate != "unseen")

    def _settle_type(self, name: str) -> None:
        """The majority of its first values decides; the first pane had decided until then."""
        known = self._types.get(name)
        if known is None:
            return  # there was no room for it
        known.settled = True
        if known.numeric == (known.numbers >= known.texts):
            return
        known.numeric = not known.numeric
        self._values.pop(name, None)
        self._rates.pop((name, "unseen"), None)
        before = self._rates.pop((name, "type_error"), None)
        self._watch(name)
        if before is not None:
            self._rates[name, "type_error"].alarm = before.alarm  # what fires must be resolved
        if self.reference is not None:
            for of_feature, rate in self._rates:
                if of_feature == name:
                    self._start_rate(name, rate, self.reference)

    def _count_types(self, run: PaneTable) -> None:
        for name, known in self._types.items():
            feature = run.features.get(name)
            if feature is not None and not known.settled:
                known.numbers += int(feature.number.sum())
                known.texts += int(feature.text.sum())

    def _share(self) -> None:
        """Budgets follow the number of series, from the next pane on."""
        delta = self.rules.adwin.delta * _SHARE[self.kind] / max(len(self._values), 1)
        for series in self._values.values():
            series.share(delta)
        for rates in self._rates.values():
            rates.series = len(self._rates)

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
        for name, rate in self._rates:
            self._start_rate(name, rate, reference)
        return reference

    def _start_rate(self, name: str, rate: RateName, reference: Reference) -> None:
        numeric = self._types[name].numeric
        events, weight = rate_of(reference, name, rate, numeric=numeric)
        if weight:
            self._rates[name, rate].start(events / weight, weight)

    # -- findings

    def _context(self, name: str, detector: str) -> Context:
        rate = detector in RATES
        share = 1.0 / len(self._rates) if rate else _SHARE[self.kind] / len(self._values)
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
        for name, series in self._values.items():
            for detector, alarm in series.alarms.items():
                last = series.last.get(detector)
                if last is not None:
                    yield SeriesStatus(
                        self.group, name, detector, last.statistic, last.threshold, alarm.firing
                    )
        for (name, rate), rates in self._rates.items():
            last = rates.last
            if last is not None:
                yield SeriesStatus(
                    self.group, name, rate, last.statistic, last.threshold, rates.alarm.firing
                )

    # -- state

    def snapshot(self) -> Held:
        shared = SharedTimes()
        plain = {
            "group": list(self.group),
            "rules": self.rules.config_hash(),
            "kind": self.kind,
            "first_end_ms": self.first_end_ms,
            "life_ms": self.life_ms,
            "sealed_own": self._sealed_own,
            "types": [
                [n, t.numeric, t.numbers, t.texts, t.settled] for n, t in self._types.items()
            ],
            "values": {name: shared.of(s.snapshot()) for name, s in self._values.items()},
            "rates": [[n, rate, shared.of(s.snapshot())] for (n, rate), s in self._rates.items()],
            "times": shared.all,
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
        made._types = {name: FeatureType(*fields) for name, *fields in plain["types"]}
        times = plain.get("times")  # 0.1.0 stored each series' own
        for name, series in plain["values"].items():
            made._values[name] = ValueSeries.restore(rules, with_times(series, times))
        for name, rate, series in plain["rates"]:
            made._rates[name, rate] = RateSeries.restore(rules, with_times(series, times))
        made._recent.restore(held.stretches, held.newest)
        made.rows, made.labelled = plain["rows"], plain["labelled"]
        return made


def _quantiles(delays: NDArray[np.float64]) -> tuple[int, int]:
    half, most = np.quantile(delays, [0.5, 0.9], method="inverted_cdf").tolist()
    return int(half), int(most)


def _add_coverage(finding: MonitorFinding, judged: tuple[int, int]) -> None:
    if finding.detail is not None:
        finding.detail["impact"]["label_coverage"] = float(f"{judged[0] / judged[1]:.6g}")
