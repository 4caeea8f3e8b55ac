"""Works off the panes of a model that are ready: life by life, under the rules in force."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise

from stream.columns import Group
from stream.comparisons import Comparisons
from stream.concept import is_loss, with_inputs
from stream.due import Due, Told
from stream.inputs import Inputs
from stream.model_state import ModelState
from stream.monitor import Monitor
from stream.monitor_told import MonitorFinding
from stream.pane_kinds import PaneKind
from stream.panes import PaneTable
from stream.reference import Reference
from stream.renewals import Renewals
from stream.roster import Life
from stream.rule_book import Schedule
from stream.rules import DAY_MS, SHADOW, Rules
from stream.screening import Taus
from stream.traffic_release import TrafficRelease
from stream.version_facts import facts
from stream.version_losses import of_version

Observer = Callable[[PaneKind, Group, PaneTable], None]


class Release:
    def __init__(
        self, schedule: Schedule, renewals: Renewals, rules: Rules, observe: Observer | None
    ) -> None:
        self._schedule = schedule
        self._renewals = renewals
        self._forget_ms, self._pane_ms = rules.forget_ms, rules.pane_ms
        self._grace_ms = rules.grace_ms
        self._observe = observe
        self.comparisons = Comparisons(schedule)
        self.traffic = TrafficRelease(schedule, renewals)

    def fewest(self, model: ModelState) -> int:
        """Predictions of a version before anything can be told of it, whatever they are."""
        is_asked = self._observe is not None or self.governs(model.model_id)
        if is_asked or self._renewals.deploys(model.model_id):
            return 0
        fewest = [rules.minimum_values for rules in self._schedule.every]
        return min(model.reference.predictions, *fewest)

    def governs(self, model_id: str) -> bool:
        """Whether something is asked of each of its versions, under some rules."""
        return any(rules.governs(model_id) for rules in self._schedule.every)

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
                yield from self._forget(model, due, known, is_back=True)
            for rules, part in self._by_rules(group, panes, due):
                place, ended = (due.kind, group), list[MonitorFinding]()
                held = self._renewals.latest(group, due.kind, due.ready_ms(part.first_end_ms))
                renewed_at = None if held is None else held.announced_at
                law = None if held is None else held.reference(group, due.kind)
                monitor = model.monitors.get(place)
                if monitor is None:
                    taus: Taus = {}
                    if law is None:
                        law, taus = self._predecessor(model, due, group, part)
                    monitor = Monitor(rules, group, due.kind, model.reference, law, taus=taus)
                    monitor.life_ms, model.monitors[place] = life.first_end_ms, monitor
                    monitor.renewed_at = renewed_at
                elif renewed_at != monitor.renewed_at:
                    ended = monitor.renew(renewed_at, part.first_end_ms, law)
                findings, sealed = monitor.update(part, rules)
                yield from sealed
                for finding in (*ended, *findings):
                    ready_ms = due.ready_ms(finding.pane_end_ms)
                    inputs = model.inputs_of(group, life.first_end_ms)
                    told = self._beside_inputs(due, inputs, finding, ready_ms)
                    told = _of_version(told, due, rules, monitor)
                    yield due.told(group, told, ready_ms)
            is_whole = due.kind == "prediction" and not group[3]
            is_asked = life.is_deployment or life.lacks or self.governs(model.model_id)
            if is_whole and is_asked:
                for fact in facts(life, group, panes, monitor, partial(self._rules_at, due)):
                    yield due.told(group, fact, due.ready_ms(fact.pane_end_ms))
        # a shadow may be there before whom it is compared with
        has_shadow = any(group[2] == SHADOW for _, group, _ in pieces)
        if has_shadow or len(model.lives) > 1 or model.is_compared:
            yield from self.comparisons.of_panes(model, due, pieces)

    def _rules_at(self, due: Due, end_ms: int) -> Rules:
        return self._schedule.at(due.ready_ms(end_ms))

    def _beside_inputs(
        self, due: Due, inputs: Inputs | None, finding: MonitorFinding, ready_ms: int
    ) -> MonitorFinding:
        """A loss with what the inputs of its life were like since, up to the last ready by then."""
        detail = finding.detail
        if due.kind == "prediction" or finding.verdict != "drift" or detail is None:
            return finding
        if not is_loss(detail):
            return finding
        asked = detail["change_at_ms"], ready_ms - self._grace_ms
        standings = [] if inputs is None else inputs.since(*asked)
        return replace(finding, detail=with_inputs(detail, standings))

    def _by_rules(
        self, group: Group, table: PaneTable, due: Due
    ) -> Iterator[tuple[Rules, PaneTable]]:
        """The panes in parts, each with the rules that are in force at its ready times; a renewal
        begins a part too."""
        first_ms, last_ms = table.first_end_ms, table.last_end_ms
        ready = due.ready_ms(first_ms), due.ready_ms(last_ms)
        changes = {*self._schedule.changes_within(*ready)}
        changes |= {*self._renewals.within(group, due.kind, *ready)}
        starts = [at_ms - due.age_ms for at_ms in sorted(changes)]
        for start_ms, stop_ms in pairwise([first_ms, *starts, last_ms + 1]):
            panes = table.between(start_ms, stop_ms - 1)
            if len(panes):
                rules = self._schedule.at(due.ready_ms(start_ms))
                yield rules.of_group(group[0], is_segment=bool(group[3])), panes

    def _predecessor(
        self, model: ModelState, due: Due, group: Group, panes: PaneTable
    ) -> tuple[Reference | None, Taus]:
        """The latest reference sealed, before this group began, by an older one of its role that
        was not forgotten by then, and how much its values depend; a renewal of either that holds by
        then has ended those before. What was deployed with the older one is of that alone. A
        version that comes again, as the configuration says, is no successor of those that came
        after it."""
        first_end_ms = panes.first_end_ms
        ready_ms = due.ready_ms(first_end_ms)
        rules = self._schedule.at(ready_ms)
        if rules.version_of(*group[:2]).is_past(first_end_ms):
            return None, {}
        older = [
            (monitor.first_end_ms or 0, monitor.group, reference, monitor.taus_of(reference))
            for of_kind, other in model.monitors
            if of_kind == due.kind and other[2:] == group[2:]
            for monitor in [model.monitors[of_kind, other]]
            if self._end_ms(model, monitor) >= first_end_ms
            if not rules.comes_before(*group[:2], other[1])
            for reference in monitor.references
            if reference.end_ms < first_end_ms and not reference.source
            if all(
                held is None or held.at_ms <= due.ready_ms(reference.start_ms + self._pane_ms)
                for held in (self._renewals.latest(of, due.kind, ready_ms) for of in (other, group))
            )
        ]
        return max(older, key=lambda o: (*o[:2], o[2].end_ms))[2:] if older else (None, {})

    def judge_anew(self, model: ModelState, due: Due, until_ms: int) -> Iterator[Told]:
        """What cohorts that end by then were compared with is of another age than later ones."""
        end_ms, because = until_ms + self._pane_ms, "predictions are judged at another age now"
        for kind, group in model.monitors:
            if kind == due.kind:
                monitor = model.monitors[kind, group]
                for finding in monitor.renew(monitor.renewed_at, end_ms, because=because):
                    yield due.told(group, finding, due.ready_ms(until_ms))
                monitor.references.clear()

    # -- forgetting

    def _end_ms(self, model: ModelState, monitor: Monitor) -> int:
        """A pane that ends after this is not of the monitor's life any more."""
        lives = model.lives[monitor.group]
        life = next(life for life in lives if life.first_end_ms == monitor.life_ms)
        return life.last_end_ms + self._forget_ms

    def forget(self, model: ModelState, due: Due, until_ms: int) -> Iterator[Told]:
        """What is held of lives that are over, of this kind, by this ready time."""
        for place in list(model.monitors):
            if place[0] != due.kind:
                continue
            monitor = model.monitors[place]
            if due.ready_ms(self._end_ms(model, monitor)) < until_ms:
                yield from self._forget(model, due, monitor)

    def _forget(
        self, model: ModelState, due: Due, monitor: Monitor, *, is_back: bool = False
    ) -> Iterator[Told]:
        """What fires is resolved: nobody would do it later. `is_back`: with these panes, and before
        them may be some that a shadow is yet to be compared by."""
        end_ms = self._end_ms(model, monitor)
        if not (is_back and due.kind == "prediction"):
            yield from self.comparisons.forget(model, due, monitor.group, end_ms)
        del model.monitors[due.kind, monitor.group]
        if due.kind == "prediction" and monitor.inputs is not None:
            model.past_inputs[monitor.group, monitor.life_ms] = monitor.inputs
        because = f"no predictions for {self._forget_ms / DAY_MS:.3g} days"
        for finding in monitor.quiets(end_ms, because):
            yield due.told(monitor.group, finding, due.ready_ms(end_ms) + 1)


def _of_version(
    finding: MonitorFinding, due: Due, rules: Rules, monitor: Monitor
) -> MonitorFinding:
    """Of a loss whether its version is one to be trained at all."""
    detail = finding.detail
    if due.kind == "prediction" or finding.verdict != "drift" or detail is None:
        return finding
    said = of_version(
        detail,
        rules,
        finding.pane_end_ms,
        group=monitor.group,
        first_ms=monitor.life_ms,
        references=monitor.references,
    )
    return replace(finding, detail=said)


def _begin(
    model: ModelState, kind: PaneKind, life: Life, group: Group, panes: PaneTable
) -> tuple[int, Group]:
    """When the monitor of these panes began."""
    monitor = model.monitors.get((kind, group))
    is_known = monitor is not None and monitor.life_ms == life.first_end_ms
    first_ms = monitor.first_end_ms if monitor is not None and is_known else None
    return panes.first_end_ms if first_ms is None else first_ms, group
