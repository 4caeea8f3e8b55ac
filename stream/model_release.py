"""Works off the panes of a model that are ready: life by life, under the rules in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from stream.columns import Group
from stream.estimated_error import OF_BOTH
from stream.model_state import ModelState
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.panes import PaneTable
from stream.reference import Reference
from stream.renewals import Renewals
from stream.roster import Life
from stream.rule_book import Schedule
from stream.rules import DAY_MS, Rules
from stream.traffic_words import finding_of
from stream.wire import Finding, PaneKind

SHADOW = "shadow"  # this role is sent what the others are, once more
Observer = Callable[[PaneKind, Group, PaneTable], None]


@dataclass(frozen=True, slots=True)
class Told:
    group: Group
    finding: MonitorFinding
    ready_ms: int

    def record(self, partition: int, epoch: int, kind: PaneKind) -> Finding:
        finding = self.finding
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
            detail=finding.detail or ({"because": finding.because} if finding.because else {}),
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


class Release:
    def __init__(
        self, schedule: Schedule, renewals: Renewals, rules: Rules, observe: Observer | None
    ) -> None:
        self._schedule = schedule
        self._renewals = renewals
        self._forget_ms, self._pane_ms = rules.forget_ms, rules.pane_ms
        self._observe = observe

    def work_off(
        self, model: ModelState, due: Due, tables: Sequence[tuple[Group, PaneTable]]
    ) -> Iterator[Told | Reference]:
        """Findings, and references that are sealed. Panes that belong to no life are dropped."""
        pieces = [
            (life, group, panes)
            for group, table in tables
            for life in model.lives.get(group, ())
            if len(panes := table.between(life.first_end_ms, life.last_end_ms))
        ]
        if due.kind == "prediction" and pieces:
            _count_predictions(model, [panes for _, _, panes in pieces])
            model.came += [(g, p.pane_end, p.rows) for _, g, p in pieces if g[2] != SHADOW]
        # a new version may inherit the reference of an older one: the older is worked off first
        pieces.sort(key=lambda piece: _begin(model, due.kind, *piece))
        for life, group, panes in pieces:
            if self._observe is not None:
                self._observe(due.kind, group, panes)
            known = model.monitors.get((due.kind, group))
            if known is not None and known.life_ms < life.first_end_ms:
                yield from self._forget(model, due, known)
            for rules, part in self._by_rules(group, panes, due):
                place, ended = (due.kind, group), list[MonitorFinding]()
                monitor = model.monitors.get(place)
                if monitor is None:
                    inherited = self._predecessor(model, due, group, part.first_end_ms)
                    monitor = Monitor(rules, group, due.kind, model.reference, inherited)
                    monitor.life_ms, model.monitors[place] = life.first_end_ms, monitor
                    monitor.renewed_at = self._renewed_at(group, part, due)
                elif (at := self._renewed_at(group, part, due)) != monitor.renewed_at:
                    ended = monitor.renew(at, part.first_end_ms)
                findings, sealed = monitor.update(part, rules)
                yield from sealed
                for finding in (*ended, *findings):
                    yield Told(group, finding, due.ready_ms(finding.pane_end_ms))

    def traffic(self, model: ModelState, due: Due, until_ms: int, seen_ms: int) -> Iterator[Told]:
        """Of the prediction panes that have come, up to one end, and of none having come, up to
        the other."""
        came, model.came = model.came, []
        for told in model.traffic.walk(
            came,
            seen_ms,
            lambda end_ms: self._schedule.at(due.ready_ms(end_ms)),
            lambda group, end_ms: self._renewal(group, due.ready_ms(end_ms)),
        ):
            ready_ms = due.ready_ms(told.at_ms)
            yield Told(told.group, finding_of(told, self._schedule.at(ready_ms)), ready_ms)
        if seen_ms < until_ms:
            model.traffic.skip(until_ms, self._schedule.at(due.ready_ms(until_ms)))

    def _by_rules(
        self, group: Group, table: PaneTable, due: Due
    ) -> Iterator[tuple[Rules, PaneTable]]:
        """The panes in parts, each with the rules that are in force at its ready times; a renewal
        begins a part too."""
        first_ms, last_ms = table.first_end_ms, table.last_end_ms
        ready = due.ready_ms(first_ms), due.ready_ms(last_ms)
        changes = {*self._schedule.changes_within(*ready), *self._renewals.within(group, *ready)}
        starts = [at_ms - due.age_ms for at_ms in sorted(changes)]
        for start_ms, stop_ms in pairwise([first_ms, *starts, last_ms + 1]):
            panes = table.between(start_ms, stop_ms - 1)
            if len(panes):
                yield self._schedule.at(due.ready_ms(start_ms)), panes

    def _renewed_at(self, group: Group, panes: PaneTable, due: Due) -> int | None:
        """The renewal that holds for these panes, by its offset."""
        return self._renewal(group, due.ready_ms(panes.first_end_ms))

    def _renewal(self, group: Group, ready_ms: int) -> int | None:
        held = self._renewals.latest(group, ready_ms)
        return None if held is None else held.announced_at

    def _predecessor(
        self, model: ModelState, due: Due, group: Group, first_end_ms: int
    ) -> Reference | None:
        """The latest reference sealed, before this group began, by an older one of its role that
        was not forgotten by then; a renewal of either that holds by then has ended those before."""
        ready_ms = due.ready_ms(first_end_ms)
        older = [
            (monitor.first_end_ms or 0, monitor.group, reference)
            for (of_kind, other), monitor in model.monitors.items()
            if of_kind == due.kind and other[2:] == group[2:]
            if self._end_ms(model, monitor) >= first_end_ms
            for reference in monitor.references
            if reference.end_ms < first_end_ms
            if all(
                held is None or held.at_ms <= due.ready_ms(reference.start_ms + self._pane_ms)
                for held in (self._renewals.latest(of, ready_ms) for of in (other, group))
            )
        ]
        return max(older, key=lambda o: (*o[:2], o[2].end_ms))[2] if older else None

    # -- forgetting

    def _end_ms(self, model: ModelState, monitor: Monitor) -> int:
        """A pane that ends after this is not of the monitor's life any more."""
        lives = model.lives[monitor.group]
        life = next(life for life in lives if life.first_end_ms == monitor.life_ms)
        return life.last_end_ms + self._forget_ms

    def forget(self, model: ModelState, due: Due, until_ms: int) -> Iterator[Told]:
        """What is held of lives that are over, of this kind, by this ready time."""
        for (kind, _), monitor in list(model.monitors.items()):
            if kind == due.kind and due.ready_ms(self._end_ms(model, monitor)) < until_ms:
                yield from self._forget(model, due, monitor)

    def _forget(self, model: ModelState, due: Due, monitor: Monitor) -> Iterator[Told]:
        """What fires is resolved: nobody would do it later."""
        end_ms = self._end_ms(model, monitor)
        del model.monitors[due.kind, monitor.group]
        because = f"no predictions for {self._forget_ms / DAY_MS:.3g} days"
        for finding in monitor.quiets(end_ms, because):
            yield Told(monitor.group, finding, due.ready_ms(end_ms) + 1)


def _begin(
    model: ModelState, kind: PaneKind, life: Life, group: Group, panes: PaneTable
) -> tuple[int, Group]:
    """When the monitor of these panes began."""
    monitor = model.monitors.get((kind, group))
    is_known = monitor is not None and monitor.life_ms == life.first_end_ms
    first_ms = monitor.first_end_ms if monitor is not None and is_known else None
    return panes.first_end_ms if first_ms is None else first_ms, group


def _count_predictions(model: ModelState, tables: list[PaneTable]) -> None:
    ends, place = np.unique(np.concatenate([t.pane_end for t in tables]), return_inverse=True)
    rows = np.bincount(place, weights=np.concatenate([t.rows for t in tables]))
    model.maturity.count_predictions(ends, rows.astype(np.int64))
