"""Works off the panes of a model that are ready: life by life, under the rules in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise

import numpy as np

from stream.columns import Group
from stream.concept import is_loss, with_inputs
from stream.estimated_error import OF_BOTH
from stream.model_state import ModelState
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.pair_watch import PairWatch
from stream.pane_kinds import PaneKind, series_at
from stream.panes import Ints, PaneTable
from stream.reference import Reference
from stream.renewals import Renewals
from stream.roster import Life
from stream.rule_book import Schedule
from stream.rules import CHAMPION, DAY_MS, SHADOW, Rules
from stream.shadow_watch import ShadowWatch
from stream.shadow_words import describe_pairs, describe_shadow
from stream.traffic import Came, Traffic, TrafficSaid
from stream.traffic_words import finding_of
from stream.version_facts import facts
from stream.wire import Finding, FindingKind

Observer = Callable[[PaneKind, Group, PaneTable], None]


@dataclass(frozen=True, slots=True)
class Told:
    group: Group
    finding: MonitorFinding
    ready_ms: int

    def record(self, partition: int, epoch: int, kind: FindingKind) -> Finding:
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

    def told(self, group: Group, finding: MonitorFinding, ready_ms: int) -> Told:
        series = series_at(self.kind, finding.series)
        named = finding if series == finding.series else replace(finding, series=series)
        return Told(group, named, ready_ms)


class Release:
    def __init__(
        self, schedule: Schedule, renewals: Renewals, rules: Rules, observe: Observer | None
    ) -> None:
        self._schedule = schedule
        self._renewals = renewals
        self._forget_ms, self._pane_ms = rules.forget_ms, rules.pane_ms
        self._grace_ms = rules.grace_ms
        self._observe = observe

    def fewest(self, model: ModelState) -> int:
        """Predictions of a version before anything can be told of it, whatever they are."""
        if self._observe is not None or self.governs(model.model_id):
            return 0
        fewest = [rules.minimum_values for rules in self._schedule.every]
        return min(model.reference.predictions, *fewest)

    def governs(self, model_id: str) -> bool:
        """Whether something is asked of its versions, under some rules."""
        return any(rules.governs(model_id) for rules in self._schedule.every)

    def facts(
        self, model: ModelState, due: Due, panes: Mapping[Group, tuple[Ints, Ints]]
    ) -> Iterator[Told]:
        """Which versions answer, of pane ends and their rows."""
        for group, (ends, rows) in sorted(panes.items()):
            for life in () if group[3] else model.lives.get(group, ()):
                low, high = np.searchsorted(ends, [life.first_end_ms, life.last_end_ms + 1])
                monitor = model.monitors.get((due.kind, group))
                for fact in facts(life, ends[low:high], rows[low:high], monitor):
                    ready_ms = due.ready_ms(fact.pane_end_ms)
                    if self._schedule.at(ready_ms).governs(model.model_id):
                        yield due.told(group, fact, ready_ms)

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
                    ready_ms = due.ready_ms(finding.pane_end_ms)
                    beside = self._beside_inputs(model, due, group, finding, ready_ms)
                    yield due.told(group, beside, ready_ms)
        if due.kind == "prediction" and any(group[2] == SHADOW for group in model.lives):
            yield from self._shadows(model, due, pieces)

    def _beside_inputs(
        self, model: ModelState, due: Due, group: Group, finding: MonitorFinding, ready_ms: int
    ) -> MonitorFinding:
        """A loss with what the inputs have been like since, up to the last ready by then."""
        detail = finding.detail
        if due.kind == "prediction" or finding.verdict != "drift" or detail is None:
            return finding
        beside = model.monitors.get(("prediction", group))
        if beside is None or not is_loss(detail):
            return finding
        inputs = beside.inputs_since(detail["change_at_ms"], ready_ms - self._grace_ms)
        return replace(finding, detail=with_inputs(detail, inputs))

    def _shadows(
        self, model: ModelState, due: Due, pieces: Sequence[tuple[Life, Group, PaneTable]]
    ) -> Iterator[Told]:
        """Shadows beside the champions of their segment."""
        own = [piece for piece in pieces if piece[1][2] == SHADOW and not piece[1][3]]
        silent = set(model.shadows) - {group for _, group, _ in own}
        for life, group, panes in [*own, *((None, group, None) for group in sorted(silent))]:
            champions = [of for _, other, of in pieces if other[2:] == (CHAMPION, group[3])]
            watch = model.shadows.get(group)
            if life is not None and (watch is None or watch.life_ms < life.first_end_ms):
                if watch is not None:
                    yield from self._forget_shadow(model, due, group, life.first_end_ms)
                watch = model.shadows[group] = ShadowWatch(group[0], life.first_end_ms)
            assert watch is not None
            rules_at = partial(self._rules_at, due)
            for told in watch.update(champions, panes, rules_at):
                finding = describe_shadow(told, group, rules_at(told.end_ms))
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    def pairs(
        self,
        model: ModelState,
        due: Due,
        tables: Sequence[tuple[Group, PaneTable]],
        apart_ms: int,
    ) -> Iterator[Told]:
        """What shadows and champions said under the same ids, of shadows that there is room for."""
        rules_at = partial(self._rules_at, due)
        for group, table in tables:
            if group not in model.lives:
                continue
            first_ms = model.lives[group][0].first_end_ms - apart_ms
            panes = table.between(first_ms, table.last_end_ms)
            if not len(panes):
                continue
            watch = model.pairs.get(group)
            if watch is None:
                alpha = rules_at(panes.first_end_ms).shadow_of(group[0]).alpha
                watch = PairWatch(group[0], panes.first_end_ms, alpha)
                model.pairs[group] = watch
            for told in watch.update(panes, rules_at):
                yield due.told(group, describe_pairs(told, group), due.ready_ms(told.end_ms))

    def traffic(
        self, model: ModelState, due: Due, came: Came, *, until_ms: int, seen_ms: int
    ) -> Iterator[Told]:
        """Of the predictions that have come up to one end, and of none having come, up to the
        other."""
        panes: dict[str, list[tuple[Group, Ints, Ints]]] = {
            segment: [] for segment in model.traffic
        }
        for one in came:
            if one[0][2] != SHADOW:
                panes.setdefault(one[0][3], []).append(one)
        whole = TrafficSaid.of(model.traffic[""])
        for segment in sorted(panes):  # the whole first
            traffic = model.traffic.setdefault(segment, Traffic.of(model.model_id, segment))

            def rules_at(end_ms: int, is_segment: bool = bool(segment)) -> Rules:
                rules = self._rules_at(due, end_ms)
                return rules.of_group(model.model_id, is_segment=is_segment)

            for told in traffic.walk(
                panes[segment],
                seen_ms,
                rules_at,
                lambda g, end_ms: self._renewal(g, due.ready_ms(end_ms)),
                None if not segment else whole.holds,
            ):
                if not segment:
                    whole.note(told)
                finding = finding_of(told, rules_at(told.at_ms))
                yield due.told(told.group, finding, due.ready_ms(told.at_ms))
            if seen_ms < until_ms:
                traffic.skip(until_ms, rules_at(until_ms))
            if segment and traffic.is_forgotten:
                del model.traffic[segment]

    def _rules_at(self, due: Due, end_ms: int) -> Rules:
        return self._schedule.at(due.ready_ms(end_ms))

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
                rules = self._schedule.at(due.ready_ms(start_ms))
                yield rules.of_group(group[0], is_segment=bool(group[3])), panes

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

    def _forget_shadow(
        self, model: ModelState, due: Due, group: Group, end_ms: int
    ) -> Iterator[Told]:
        rules = self._rules_at(due, end_ms)
        for told in model.shadows.pop(group).quiets(end_ms):
            yield Told(group, describe_shadow(told, group, rules), due.ready_ms(end_ms) + 1)

    def _forget(self, model: ModelState, due: Due, monitor: Monitor) -> Iterator[Told]:
        """What fires is resolved: nobody would do it later."""
        end_ms = self._end_ms(model, monitor)
        if due.kind == "prediction" and monitor.group in model.shadows:
            yield from self._forget_shadow(model, due, monitor.group, end_ms)
        del model.monitors[due.kind, monitor.group]
        because = f"no predictions for {self._forget_ms / DAY_MS:.3g} days"
        for finding in monitor.quiets(end_ms, because):
            yield due.told(monitor.group, finding, due.ready_ms(end_ms) + 1)


def _begin(
    model: ModelState, kind: PaneKind, life: Life, group: Group, panes: PaneTable
) -> tuple[int, Group]:
    """When the monitor of these panes began."""
    monitor = model.monitors.get((kind, group))
    is_known = monitor is not None and monitor.life_ms == life.first_end_ms
    first_ms = monitor.first_end_ms if monitor is not None and is_known else None
    return panes.first_end_ms if first_ms is None else first_ms, group
