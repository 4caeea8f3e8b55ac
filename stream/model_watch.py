"""What stage 2 works off at a release, and what it forgets: kinds, lives, groups."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TypeVar

import numpy as np

from stream.agenda import Agenda
from stream.columns import Group
from stream.due import Due, Told
from stream.grouped_rows import Piece, detached
from stream.label_counts import DELAY
from stream.model_parts import Changes
from stream.model_release import Release
from stream.model_state import ModelState
from stream.monitors import Awake
from stream.pane_kinds import PaneKind, cohort_at
from stream.panes import Ints, PaneTable
from stream.reference import Reference
from stream.roster import Life, Roster
from stream.rules import Rules
from stream.traffic import Came
from stream.version_facts import is_deployment
from stream.waiting_panes import Taken, merged
from stream.watermark import BEFORE_ALL_MS

_TOGETHER = 32  # groups that are merged at once: more are little faster, and take their room
Of = TypeVar("Of", bound=Hashable)
Ready = tuple[ModelState, Due, int]
"""Cohorts of a model that are ready up to this time."""
Reached = Mapping[int, tuple[int, int]]
"""By source partition, how far it was heard to be: prediction, cohort."""


class GroupWatch:
    """Over the groups of all models of a partition."""

    def __init__(self, rules: Rules, changes: Changes, release: Release, awake: Awake) -> None:
        self.roster = Roster(rules.max_groups, rules.forget_ms)
        self._rules = rules
        self._changes = changes
        self._release = release
        self._awake = awake
        self.due_predictions = Due("prediction", rules.grace_ms, BEFORE_ALL_MS)
        self._agenda = Agenda()  # of the traffic, which is also judged when nothing comes
        self._ended: set[str] = set()  # models with lives that are over and not forgotten yet

    def enter(self, model: ModelState) -> None:
        """A model of a stored state."""
        self._plan_traffic(model)
        for group, lives in model.lives.items():
            for life in lives:
                self.roster.enter(group, life)
                if life.is_over:
                    self._ended.add(model.model_id)

    def forget(self, model_id: str) -> None:
        self._agenda.forget(model_id)

    def _plan_traffic(self, model: ModelState) -> None:
        next_ms = model.next_traffic_ms
        if next_ms is not None:
            self._agenda.note(model.model_id, next_ms, judged=False)

    def plan_anew(self, models: Mapping[str, ModelState]) -> None:
        """Other rules are to come into force."""
        for model in models.values():
            self._release.traffic.plan(model, self.due_predictions)
            self._plan_traffic(model)
            self._changes.note("arrivals", model.model_id)

    @property
    def ended(self) -> set[str]:
        """Models with lives that are over and not forgotten yet."""
        return self._ended

    def predictions(
        self,
        models: Mapping[str, ModelState],
        asked: Iterable[str],
        prediction_ms: int,
        reached: Reached,
        seen_ms: int | None = None,
    ) -> Iterator[Told | Reference]:
        """All models together: for which groups there is room follows from all their panes. Only
        those `asked` have panes that may be due. `seen_ms`: predictions were looked for only so
        far, the rest is the end of the input."""
        due = self.due_predictions
        until_ms = prediction_ms - due.age_ms
        taken = {
            model_id: of
            for model_id in sorted(asked)
            if (of := models[model_id].take("prediction", until_ms))
        }
        panes = {group: came.ends() for of in taken.values() for group, came in of}
        ends = {group: of_group for group, (of_group, _) in panes.items()}
        for group, life in self.roster.admit(ends, until_ms):
            lives = models[group[0]].lives
            life.is_deployment = is_deployment(lives, group, life, self._rules.forget_ms)
            lives.setdefault(group, []).append(life)
        ended = {group[0] for group in self.roster.ended}
        self._ended |= ended
        came = {
            model_id: _of_lives(models[model_id], {group: panes[group] for group, _ in of})
            for model_id, of in taken.items()
        }
        for model_id, parts in came.items():
            _count_predictions(models[model_id], parts)
        asked = sorted({*taken, *ended})
        of_all = {(model_id, due.kind): taken.get(model_id, []) for model_id in asked}
        has_panes = set(taken)
        taken.clear()  # what is worked off goes at once: many models are worked off in turn
        tables = self._in_turn(self._grown(models, of_all))
        of_all.clear()
        now = next(tables, None)
        for model_id in asked:
            model = models[model_id]
            self._changes.note("arrivals", model_id)  # lives have changed
            if now is not None and now[0] == (model_id, due.kind):
                found, now = now[1], None
                yield from self._work_off(model, due, found, prediction_ms, reached)
                now = next(tables, None)
            else:
                model.forget_applied(reached)
        assert now is None, now
        seen = until_ms if seen_ms is None else min(seen_ms - due.age_ms, until_ms)
        due_ids = {*has_panes, *self._agenda.due(until_ms, judged=False)}
        if seen < until_ms:
            due_ids |= {of.model_id for of in models.values() if of.next_traffic_ms is None}
        for model_id in sorted(one for one in due_ids if one in models):
            model, parts = models[model_id], came.get(model_id, [])
            said = self._release.traffic.told(model, due, parts, until_ms=until_ms, seen_ms=seen)
            yield from said
            self._plan_traffic(model)
            self._changes.note("arrivals", model_id)

    def _grown(
        self,
        models: Mapping[str, ModelState],
        taken: Mapping[tuple[str, PaneKind], list[tuple[Group, Taken]]],
    ) -> dict[tuple[str, PaneKind], list[tuple[Group, Taken]]]:
        """What is worked off now; the rest is held: of it nothing could be told."""
        if not taken:
            return {}
        grown: dict[tuple[str, PaneKind], list[tuple[Group, Taken]]] = {}
        held: list[tuple[ModelState, PaneKind, Group, Piece]] = []
        for (model_id, kind), of in taken.items():
            model = models[model_id]
            # of an early age all that are judged are counted when it ends
            is_counted = model.maturity.judged_ms is not None
            is_due = is_counted or model_id in self._ended
            fewest = 0 if is_due else self._release.fewest(model)
            if model.may_hold(kind, of, fewest):
                held += [(model, kind, group, p) for group, panes in of for p in panes.rows]
            else:
                grown[model_id, kind] = model.grown(kind, of)
        own = detached([piece for *_, piece in held])
        for (model, kind, group, _), piece in zip(held, own, strict=True):
            model.hold(kind, group, [piece])
        return grown

    def grow_up(self, models: Mapping[str, ModelState]) -> None:
        """Work off what is held, for somebody who asks what is known."""
        for model_id, model in models.items():
            kinds = {kind for kind, _ in model.young}
            dues = [due for judged in (False, True) for due in self.dues(model, judged=judged)]
            for due in [due for due in dues if due.kind in kinds]:
                tables = self._merged({model_id: model.grown(due.kind, [])})
                told = [*self._release.work_off(model, due, tables[model_id])]
                assert not told, told
                self._changes.note("arrivals", model_id)
                self._changes.note("monitors", model_id)
            self._awake.rest()

    def cohorts(self, ready: Sequence[Ready], reached: Reached) -> Iterator[Told | Reference]:
        """Of models with a maturity, each up to its own ready time; of one model that which
        judges last comes last."""
        taken = {
            (model.model_id, due.kind): of
            for model, due, upto_ms in ready
            if (of := model.take(due.kind, upto_ms - due.age_ms)) or model.model_id in self._ended
        }
        models = {model.model_id: model for model, _, _ in ready}
        places = set(taken)
        grown = self._grown(models, taken)
        taken.clear()
        tables = self._in_turn(grown)
        now = next(tables, None)
        forget_ms = self._rules.forget_ms
        for model, due, upto_ms in ready:
            place = model.model_id, due.kind
            if now is not None and now[0] == place:
                found, now = now[1], None
                if due.kind == "cohort" and model.maturity.judged_ms is not None:
                    _count_judged(model, found)
                yield from self._work_off(model, due, found, upto_ms, reached)
                now = next(tables, None)
                if due.kind == "cohort":
                    self._prune(model, partial(_is_past, due, forget_ms, upto_ms))
            elif place in places:
                model.forget_applied(reached)
                self._changes.note("arrivals", model.model_id)
        assert now is None, now

    def judge_anew(self, model: ModelState, due: Due, until_ms: int) -> Iterator[Told]:
        """Cohorts are of another age from now on, so what they are compared with ends."""
        return self._release.judge_anew(model, due, until_ms)

    def compared(self, ready: Sequence[Ready], reached: Reached) -> list[Told | Reference]:
        """Pairs of champions and shadows, and trials of variants: most models have none."""
        told: list[Told | Reference] = []
        for model, cohorts, upto_ms in ready:
            if cohorts.kind != "cohort":
                continue
            for due in self._due_comparisons(model, cohorts):
                taken = model.take(due.kind, upto_ms - due.age_ms)
                key = (model.model_id, due.kind)
                tables = self._merged({key: taken})[key]
                told += self._release.comparisons.of_kind(model, due, tables, cohorts)
                if tables:
                    model.forget_applied(reached)
                    self._changes.note("arrivals", model.model_id)
        return told

    def due_cohorts(self, model: ModelState, maturity_ms: int, decided_at_ms: int) -> Iterator[Due]:
        """When cohorts of this maturity are, those of further ages before."""
        grace_ms = self._rules.grace_ms
        for age_ms in model.further_ages(maturity_ms):
            yield Due(cohort_at(age_ms), grace_ms + age_ms, decided_at_ms)
        yield Due("cohort", grace_ms + maturity_ms, decided_at_ms)

    def dues(self, model: ModelState, *, judged: bool) -> list[Due]:
        """Of its kinds of panes; of judged ones as far as the maturity is known."""
        if not judged:
            return [self.due_predictions]
        maturity_ms, decided_at_ms = model.decided
        if maturity_ms is None:
            return []
        dues = list(self.due_cohorts(model, maturity_ms, decided_at_ms))
        return [*dues, *self._due_comparisons(model, dues[-1])]

    def _due_comparisons(self, model: ModelState, cohorts: Due) -> Iterator[Due]:
        """When pairs and trials are whose cohorts are due then, if there are any."""
        if model.has_waiting("pair"):
            apart_ms = self._rules.apart_ms(cohorts.age_ms - self._rules.grace_ms)
            yield replace(cohorts, kind="pair", age_ms=cohorts.age_ms + apart_ms)
        if model.has_waiting("trial"):
            yield replace(cohorts, kind="trial")

    def _merged(
        self, taken: Mapping[Of, list[tuple[Group, Taken]]]
    ) -> dict[Of, list[tuple[Group, PaneTable]]]:
        """All groups of all models together."""
        if not taken:
            return {}
        tables = iter(merged([panes for of in taken.values() for _, panes in of], self._rules))
        return {key: [(group, next(tables)) for group, _ in of] for key, of in taken.items()}

    def _in_turn(
        self, taken: dict[Of, list[tuple[Group, Taken]]]
    ) -> Iterator[tuple[Of, list[tuple[Group, PaneTable]]]]:
        """The same of some after the others, in their order; what is taken goes with it."""
        some: dict[Of, list[tuple[Group, Taken]]] = {}
        groups = 0
        for key in list(taken):
            some[key] = taken.pop(key)
            groups += len(some[key])
            if groups >= _TOGETHER or not taken:
                tables = self._merged(some)
                some, groups = {}, 0
                while tables:
                    of = next(iter(tables))
                    yield of, tables.pop(of)

    def no_cohorts(self, model: ModelState) -> None:
        """None of this model are ever to come."""
        if model.model_id in self._ended:
            self._prune(model, lambda _: True)

    def _work_off(
        self,
        model: ModelState,
        due: Due,
        tables: Sequence[tuple[Group, PaneTable]],
        upto_ms: int,
        reached: Reached,
    ) -> Iterator[Told | Reference]:
        watched = len(model.monitors)
        yield from self._release.work_off(model, due, tables)
        if model.model_id in self._ended:
            yield from self._release.forget(model, due, upto_ms)
        if tables:
            model.forget_applied(reached)
            self._changes.note("arrivals", model.model_id)
        if tables or len(model.monitors) != watched:
            self._changes.note("monitors", model.model_id)
        self._awake.rest()

    def _prune(self, model: ModelState, is_done: Callable[[Life], bool]) -> None:
        """Forget lives that are over for both kinds."""
        for group, lives in list(model.lives.items()):
            kept = [life for life in lives if not (life.is_over and is_done(life))]
            if len(kept) < len(lives):
                self._changes.note("arrivals", model.model_id)
            model.lives[group] = kept
            if not kept:
                del model.lives[group]
        if model.past_inputs:
            model.drop_past_inputs()
        if not any(life.is_over for lives in model.lives.values() for life in lives):
            self._ended.discard(model.model_id)


def _of_lives(
    model: ModelState, panes: Mapping[Group, tuple[Ints, Ints]]
) -> list[tuple[Group, Ints, Ints]]:
    """Of each group pane ends and their rows; those that belong to no life do not count."""
    parts = []
    for group, (ends, rows) in panes.items():
        for life in model.lives.get(group, ()):
            low, high = np.searchsorted(ends, [life.first_end_ms, life.last_end_ms + 1])
            if low < high:
                parts.append((group, ends[low:high], rows[low:high]))
                life.predictions += sum(rows[low:high].tolist())
    return parts


def _count_predictions(model: ModelState, parts: Came) -> None:
    parts = [part for part in parts if not part[0][3]]  # segments are of the same predictions
    if len(parts) == 1:
        model.maturity.count_predictions(*parts[0][1:])
    elif parts:
        ends, place = np.unique(np.concatenate([of for _, of, _ in parts]), return_inverse=True)
        rows = np.bincount(place, weights=np.concatenate([of for _, _, of in parts]))
        model.maturity.count_predictions(ends, rows.astype(np.int64))


def _count_judged(model: ModelState, tables: Sequence[tuple[Group, PaneTable]]) -> None:
    """Of an early age, segments apart."""
    for group, table in tables:
        if not group[3]:
            labelled = int(table.features[DELAY].number.sum())
            model.maturity.judge(int(table.rows.sum()), labelled)


def _is_past(due: Due, forget_ms: int, upto_ms: int, life: Life) -> bool:
    """Whether nothing of this life can be due any more."""
    return due.ready_ms(life.last_end_ms + forget_ms) < upto_ms
