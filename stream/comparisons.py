"""What is compared between the roles of a model when its panes are ready: shadows beside champions,
pairs under one id, variants of an experiment."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import pairwise

from stream.columns import Group
from stream.due import Due, Told
from stream.experiment_watch import ExperimentWatch
from stream.experiment_words import describe_experiment, quiet_mismatch
from stream.judged_units import largest_cost
from stream.model_state import ModelState
from stream.pair_watch import PairWatch
from stream.panes import PaneTable
from stream.roster import Life
from stream.rule_book import Schedule
from stream.rules import CHAMPION, SHADOW, Rules
from stream.shadow_watch import ShadowWatch
from stream.shadow_words import describe_pairs, describe_shadow
from stream.version_watch import VersionWatch
from stream.version_words import describe_version, quiet_version

Pieces = Sequence[tuple[Life, Group, PaneTable]]
Tables = Sequence[tuple[Group, PaneTable]]


class Comparisons:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def of_panes(self, model: ModelState, due: Due, pieces: Pieces) -> Iterator[Told]:
        """What predictions and cohorts say of themselves."""
        if due.kind == "prediction":
            yield from self._shadows(model, due, pieces)
        elif due.kind == "cohort":
            tables = [(group, of) for _, group, of in pieces]
            yield from self._by_rules(model, due, tables)

    def of_kind(self, model: ModelState, due: Due, tables: Tables, cohorts: Due) -> Iterator[Told]:
        """What pairs and trials say, which are due so long behind their cohorts."""
        if due.kind == "pair":
            yield from self._pairs(model, due, tables, due.age_ms - cohorts.age_ms)
        else:
            known = [(group, of) for group, of in tables if group in model.lives]
            yield from self._by_rules(model, due, known)

    # -- shadows

    def _shadows(self, model: ModelState, due: Due, pieces: Pieces) -> Iterator[Told]:
        """Beside the champions, all segments together."""
        own = [piece for piece in pieces if piece[1][2] == SHADOW and not piece[1][3]]
        silent = set(model.shadows) - {group for _, group, _ in own}
        for life, group, panes in [*own, *((None, group, None) for group in sorted(silent))]:
            champions = [of for _, other, of in pieces if other[2:] == (CHAMPION, group[3])]
            watch = model.shadows.get(group)
            if life is not None and (watch is None or watch.life_ms < life.first_end_ms):
                if watch is not None:
                    former = next(
                        of for of in model.lives[group] if of.first_end_ms == watch.life_ms
                    )
                    forget_ms = self._rules_at(due, former.last_end_ms).forget_ms
                    yield from self.forget(model, due, group, former.last_end_ms + forget_ms)
                watch = model.shadows[group] = ShadowWatch(group[0], life.first_end_ms)
            assert watch is not None
            rules_at = partial(self._rules_at, due)
            for told in watch.update(champions, panes, rules_at):
                finding = describe_shadow(told, group, rules_at(told.end_ms))
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    def forget(self, model: ModelState, due: Due, group: Group, end_ms: int) -> Iterator[Told]:
        """What is held of a group that is watched no more."""
        ready_ms, rules = due.ready_ms(end_ms) + 1, self._rules_at(due, end_ms)
        if due.kind == "prediction" and group in model.shadows:
            for shadow in model.shadows.pop(group).quiets(end_ms):
                yield Told(group, describe_shadow(shadow, group, rules), ready_ms)
        if due.kind == "cohort" and group in model.pairs:
            for pair in model.pairs.pop(group).quiets(end_ms, rules):
                yield Told(group, describe_pairs(pair, group), ready_ms)
        if due.kind == "cohort" and group in model.versions:
            yield from self._end_version(model, due, group, ready_ms, end_ms)

    def _pairs(self, model: ModelState, due: Due, tables: Tables, apart_ms: int) -> Iterator[Told]:
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

    # -- experiments

    def _by_rules(self, model: ModelState, due: Due, tables: Tables) -> Iterator[Told]:
        """Experiments and versions, under the rules that are in force at the time."""
        tables = [(group, of) for group, of in tables if not group[3]]
        if not tables or not self._has_any(model.model_id):
            return
        first_ms = min(table.first_end_ms for _, table in tables)
        last_ms = max(table.last_end_ms for _, table in tables)
        changes = self._schedule.changes_within(due.ready_ms(first_ms), due.ready_ms(last_ms))
        starts = [at_ms - due.age_ms for at_ms in changes]
        for start_ms, stop_ms in pairwise([first_ms, *starts, last_ms + 1]):
            rules = self._rules_at(due, start_ms)
            parts = [(group, table.between(start_ms, stop_ms - 1)) for group, table in tables]
            parts = [(group, part) for group, part in parts if len(part)]
            if parts and due.kind == "cohort":
                yield from self._versions(rules, model, due, parts)
            if parts and (due.kind == "trial") == model.has_subjects:
                yield from self._experiments(rules, model, due, parts)

    def _has_any(self, model_id: str) -> bool:
        return any(
            of.experiments or of.versions
            for of in (rules.model(model_id) for rules in self._schedule.every)
        )

    def _experiments(
        self, rules: Rules, model: ModelState, due: Due, parts: Tables
    ) -> Iterator[Told]:
        known = {rule.name: rule for rule in rules.model(model.model_id).experiments}
        for name, watch in sorted(model.experiments.items()):
            if known.get(name) != watch.rule:
                del model.experiments[name]
                if watch.is_mismatched:
                    end_ms = min(part.first_end_ms for _, part in parts)
                    quiet = quiet_mismatch(watch, end_ms)
                    yield due.told(_group(model, watch, watch.odd), quiet, due.ready_ms(end_ms))
        for name, rule in known.items():
            arms = [
                [(group[1], part) for group, part in parts if group[2] == role]
                for role in rule.variants
            ]
            if not any(arms):
                continue
            if name not in model.experiments:
                model.experiments[name] = ExperimentWatch(
                    rule,
                    largest=_largest(rules, model, rule.metric),
                    has_subjects=model.has_subjects,
                )
            watch = model.experiments[name]
            for told in watch.update(arms):
                finding = describe_experiment(told, watch, model.model_id)
                group = _group(model, watch, told.variant)
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    # -- versions

    def _versions(self, rules: Rules, model: ModelState, due: Due, parts: Tables) -> Iterator[Told]:
        """Champions beside the version that they would be rolled back to."""
        rule = rules.rollback_of(model.model_id)
        tables: dict[Group, list[PaneTable]] = {}
        for group, part in parts:
            tables.setdefault(group, []).append(part)
        for group in sorted({*model.versions, *tables}):
            target = rules.rollback_target(model.model_id, group[1])
            watch = model.versions.get(group)
            if watch is not None and (watch.target, watch.rule) != (target, rule):
                end_ms = min(part.first_end_ms for _, part in parts)
                yield from self._end_version(model, due, group, due.ready_ms(end_ms), end_ms)
                watch = None
            if target is None or group[2] != CHAMPION:
                continue
            own, other = tables.get(group, []), (group[0], target, *group[2:])
            if watch is None and not own:
                continue
            if watch is None:
                largest = _largest(rules, model, rule.metric)
                watch = VersionWatch(target, rule, own[0].first_end_ms, largest)
                self._know(watch, model, due, other, rules.forget_ms)
                model.versions[group] = watch
            for told in watch.update(own, tables.get(other, [])):
                finding = describe_version(told, watch, group)
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    @staticmethod
    def _know(
        watch: VersionWatch, model: ModelState, due: Due, other: Group, forget_ms: int
    ) -> None:
        """The other's latest reference that was sealed before, if it was not forgotten."""
        monitor = model.monitors.get((due.kind, other))
        lives = model.lives.get(other, ())
        is_kept = any(life.last_end_ms + forget_ms >= watch.first_ms for life in lives)
        if monitor is not None and is_kept:
            sealed = [of for of in monitor.references if not of.source]  # by live predictions
            known = [of for of in sealed if of.end_ms < watch.first_ms]
            if known:
                watch.know(max(known, key=lambda of: of.end_ms))

    @staticmethod
    def _end_version(
        model: ModelState, due: Due, group: Group, ready_ms: int, end_ms: int
    ) -> Iterator[Told]:
        if model.versions.pop(group).is_worse:
            quiet = quiet_version(end_ms, "it is compared no more")
            yield due.told(group, quiet, ready_ms)

    def _rules_at(self, due: Due, end_ms: int) -> Rules:
        return self._schedule.at(due.ready_ms(end_ms))


def _group(model: ModelState, watch: ExperimentWatch, variant: int) -> Group:
    return model.model_id, watch.versions[variant], watch.rule.variants[variant], ""


def _largest(rules: Rules, model: ModelState, metric: str) -> float:
    if metric == "cost":
        return largest_cost(rules.model(model.model_id))
    return 0.0 if metric == "absolute_error" else 1.0
