"""A monitor that is restored at cuts of its panes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from stream.monitor import Monitor
from stream.monitor_state import Sealed
from stream.monitor_told import MonitorFinding
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.reference import Reference
from stream.rules import Rules
from stream.snapshot import packed

GROUP = ("m", "1", "champion", "")


@dataclass(frozen=True)
class Lived:
    findings: list[MonitorFinding]
    references: list[Reference]
    monitor: Monitor


def lived(
    table: PaneTable, rules: Rules, cuts: Sequence[int] = (), *, kind: PaneKind = "prediction"
) -> Lived:
    """What a monitor makes of these panes; it is restored from its state behind each part of them.
    `cuts`: numbers of panes, rising."""
    monitor = Monitor(rules, GROUP, kind, rules.reference)
    found: list[MonitorFinding] = []
    references: list[Reference] = []
    for start, end in pairwise([0, *cuts, len(table)]):
        first_ms, last_ms = table.pane_end[[start, end - 1]].tolist()
        findings, sealed = monitor.update(table.between(first_ms, last_ms))
        found += findings
        references += sealed
        monitor = restored(monitor, rules)
    return Lived(found, references, monitor)


def restored(monitor: Monitor, rules: Rules) -> Monitor:
    held = monitor.snapshot()
    state = packed(held.parts())
    return Monitor.restore(rules, rules.reference, Sealed(state).held(held.to_plain()))
