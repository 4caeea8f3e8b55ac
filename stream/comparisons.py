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
from stream.rules import CHAMPION, SHADOW, ExperimentRule, Rules
from stream.shadow_watch import ShadowWatch
from stream.shadow_words import describe_pairs, describe_shadow

Pieces = Sequence[tuple[Life, Group, PaneTable]]
Tables = Sequence[tuple[Group, PaneTable]]


class Comparisons:
    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def of_panes(self, model: ModelState, due: Due, pieces: Pieces) -> Iterator[Told]:
        """What predictions and cohorts say of themselves."""
        if due.kind == "prediction":
            yield from self._shadows(model, due, pieces)
        elif due.kind == "cohort" and not model.has_subjects:
            yield from self._experiments(model, due, [(group, of) for _, group, of in pieces])

    def of_kind(self, model: ModelState, due: Due, tables: Tables, cohorts: Due) -> Iterator[Told]:
        """What pairs and trials say, which are due so long behind their cohorts."""
        if due.kind == "pair":
            yield from self._pairs(model, due, tables, due.age_ms - cohorts.age_ms)
        else:
            known = [(group, of) for group, of in tables if group in model.lives]
            yield from self._experiments(model, due, known)

    # -- shadows

    def _shadows(self, model: ModelState, due: Due, pieces: Pieces) -> Iterator[Told]:
        """Beside the champions of their segment."""
        own = [piece for piece in pieces if piece[1][2] == SHADOW]
        silent = set(model.shadows) - {group for _, group, _ in own}
        for life, group, panes in [*own, *((None, group, None) for group in sorted(silent))]:
            champions = [of for _, other, of in pieces if other[2:] == (CHAMPION, group[3])]
            watch = model.shadows.get(group)
            if life is not None and (watch is None or watch.life_ms < life.first_end_ms):
                if watch is not None:
                    yield from self.forget_shadow(model, due, group, life.first_end_ms)
                watch = model.shadows[group] = ShadowWatch(group[0], life.first_end_ms)
            assert watch is not None
            rules_at = partial(self._rules_at, due)
            for told in watch.update(champions, panes, rules_at):
                finding = describe_shadow(told, group, rules_at(told.end_ms))
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    def forget_shadow(
        self, model: ModelState, due: Due, group: Group, end_ms: int
    ) -> Iterator[Told]:
        rules = self._rules_at(due, end_ms)
        for told in model.shadows.pop(group).quiets(end_ms):
            yield Told(group, describe_shadow(told, group, rules), due.ready_ms(end_ms) + 1)

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

    def _experiments(self, model: ModelState, due: Due, tables: Tables) -> Iterator[Told]:
        tables = [(group, of) for group, of in tables if not group[3]]
        if not tables or not (model.experiments or self._has_any(model.model_id)):
            return
        first_ms = min(table.first_end_ms for _, table in tables)
        last_ms = max(table.last_end_ms for _, table in tables)
        changes = self._schedule.changes_within(due.ready_ms(first_ms), due.ready_ms(last_ms))
        starts = [at_ms - due.age_ms for at_ms in changes]
        for start_ms, stop_ms in pairwise([first_ms, *starts, last_ms + 1]):
            rules = self._rules_at(due, start_ms)
            parts = [(group, table.between(start_ms, stop_ms - 1)) for group, table in tables]
            parts = [(group, part) for group, part in parts if len(part)]
            if parts:
                yield from self._under(rules, model, due, parts)

    def _has_any(self, model_id: str) -> bool:
        return any(rules.model(model_id).experiments for rules in self._schedule.in_force())

    def _under(self, rules: Rules, model: ModelState, due: Due, parts: Tables) -> Iterator[Told]:
        """Of panes with the same rules."""
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
                {group[1]: part for group, part in parts if group[2] == role}
                for role in rule.variants
            ]
            if not any(arms):
                continue
            if name not in model.experiments:
                model.experiments[name] = ExperimentWatch(
                    rule, largest=_largest(rules, model, rule), has_subjects=model.has_subjects
                )
            watch = model.experiments[name]
            for told in watch.update(arms):
                finding = describe_experiment(told, watch, model.model_id)
                group = _group(model, watch, told.variant)
                yield due.told(group, finding, due.ready_ms(told.end_ms))

    def _rules_at(self, due: Due, end_ms: int) -> Rules:
        return self._schedule.at(due.ready_ms(end_ms))


def _group(model: ModelState, watch: ExperimentWatch, variant: int) -> Group:
    return model.model_id, watch.versions[variant], watch.rule.variants[variant], ""


def _largest(rules: Rules, model: ModelState, rule: ExperimentRule) -> float:
    if rule.metric == "cost":
        return largest_cost(rules.model(model.model_id))
    return 0.0 if rule.metric == "absolute_error" else 1.0
