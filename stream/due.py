"""When panes of a kind are ready, and what is told of them then."""

from __future__ import annotations

from dataclasses import dataclass, replace

from stream.columns import Group
from stream.estimated_error import OF_BOTH
from stream.monitor_told import MonitorFinding
from stream.pane_kinds import PaneKind, series_at
from stream.wire import Finding, FindingKind


@dataclass(frozen=True, slots=True)
class Told:
    group: Group
    finding: MonitorFinding
    ready_ms: int

    def record(self, partition: int, epoch: int, kind: FindingKind) -> Finding:
        finding = self.finding
        quiet = {"because": finding.because, "reference": finding.reference}
        return Finding(
            partition=partition,
            epoch=epoch,
            pane_kind="estimate" if finding.series in OF_BOTH else kind,
            ready_ms=self.ready_ms,
            pane_end_ms=finding.pane_end_ms,
            group=self.group,
            series=finding.series,
            alertname=finding.alertname,
            verdict=finding.verdict,
            detail=finding.detail or {name: why for name, why in quiet.items() if why},
        )


@dataclass(frozen=True, slots=True)
class Due:
    """Panes of a kind are ready this long after their end, and not before the maturity was
    decided."""

    kind: PaneKind
    age_ms: int
    decided_at_ms: int

    def ready_ms(self, end_ms: int) -> int:
        return max(end_ms + self.age_ms, self.decided_at_ms)

    def told(self, group: Group, finding: MonitorFinding, ready_ms: int) -> Told:
        series = series_at(self.kind, finding.series)
        named = finding if series == finding.series else replace(finding, series=series)
        return Told(group, named, ready_ms)
