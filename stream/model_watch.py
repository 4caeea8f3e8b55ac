"""What stage 2 works off at a release, and what it forgets: kinds, lives, groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial

import numpy as np

from stream.columns import Group
from stream.model_parts import Changes
from stream.model_release import Due, Release, Told
from stream.model_state import ModelState
from stream.panes import Ints, PaneTable
from stream.reference import Reference
from stream.roster import Life, Roster
from stream.rules import Rules
from stream.waiting_panes import Taken, merged
from stream.watermark import BEFORE_ALL_MS
from stream.wire import PaneKind

Reached = Mapping[int, tuple[int, int]]
"""By source partition, how far it was heard to be: prediction, cohort."""


class GroupWatch:
    """Over the groups of all models of a partition."""

    def __init__(self, rules: Rules, changes: Changes, release: Release) -> None:
        self.roster = Roster(rules.max_groups, rules.forget_ms)
        self._rules = rules
        self._changes = changes
        self._release = release
        self._ended: set[str] = set()  # models with lives that are over and not forgotten yet

    def enter(self, model: ModelState) -> None:
        """A model of a stored state."""
        for group, lives in model.lives.items():
            for life in lives:
                self.roster.enter(group, life)
                if life.is_over:
                    self._ended.add(model.model_id)

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
    ) -> list[Told | Reference]:
        """All models together: for which groups there is room follows from all their panes. Only
        those `asked` have panes that may be due."""
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
            models[group[0]].lives.setdefault(group, []).append(life)
        ended = {group[0] for group in self.roster.ended}
        self._ended |= ended
        for model_id, of in taken.items():
            _count_predictions(models[model_id], {group: panes[group] for group, _ in of})
        asked = sorted({*taken, *ended})
        of_all = {model_id: taken.get(model_id, []) for model_id in asked}
        tables = self._merged(self._grown("prediction", models, of_all))
        told: list[Told | Reference] = []
        for model_id in asked:
            model = models[model_id]
            self._changes.note("arrivals", model_id)  # lives have changed
            if model_id in tables:
                told += self._work_off(model, due, tables[model_id], prediction_ms, reached)
            else:
                model.forget_applied(reached)
        return told

    def _grown(
        self,
        kind: PaneKind,
        models: Mapping[str, ModelState],
        taken: Mapping[str, list[tuple[Group, Taken]]],
    ) -> dict[str, list[tuple[Group, Taken]]]:
        """What is worked off now; the rest is held: of it nothing could be told."""
        grown: dict[str, list[tuple[Group, Taken]]] = {}
        for model_id, of in taken.items():
            model = models[model_id]
            fewest = 0 if model_id in self._ended else self._release.fewest(model)
            if not model.hold(kind, of, fewest):
                grown[model_id] = model.grown(kind, of)
        return grown

    def grow_up(self, models: Mapping[str, ModelState]) -> None:
        """Work off what is held, for somebody who asks what is known."""
        for model_id, model in models.items():
            for kind in {kind for kind, _ in model.young}:
                due = self.due_predictions
                if kind == "cohort":
                    maturity_ms, decided_at_ms = model.decided
                    assert maturity_ms is not None
                    due = self.due_cohorts(maturity_ms, decided_at_ms)
                tables = self._merged({model_id: model.grown(kind, [])})
                told = [*self._release.work_off(model, due, tables[model_id])]
                assert not told, told
                self._changes.note("arrivals", model_id)
                self._changes.note("monitors", model_id)

    def cohorts(
        self, ready: Sequence[tuple[ModelState, Due, int]], reached: Reached
    ) -> list[Told | Reference]:
        """Of models with a maturity, each up to its own ready time."""
        taken = {
            model.model_id: of
            for model, due, upto_ms in ready
            if (of := model.take("cohort", upto_ms - due.age_ms)) or model.model_id in self._ended
        }
        models = {model.model_id: model for model, _, _ in ready}
        tables = self._merged(self._grown("cohort", models, taken))
        forget_ms = self._rules.forget_ms
        told: list[Told | Reference] = []
        for model, due, upto_ms in ready:
            if model.model_id in tables:
                told += self._work_off(model, due, tables[model.model_id], upto_ms, reached)
                self._prune(model, partial(_is_past, due, forget_ms, upto_ms))
            elif model.model_id in taken:
                model.forget_applied(reached)
                self._changes.note("arrivals", model.model_id)
        return told

    @property
    def due_predictions(self) -> Due:
        return Due("prediction", self._rules.grace_ms, BEFORE_ALL_MS)

    def due_cohorts(self, maturity_ms: int, decided_at_ms: int) -> Due:
        """When cohorts of this maturity are."""
        return Due("cohort", self._rules.grace_ms + maturity_ms, decided_at_ms)

    def _merged(
        self, taken: Mapping[str, list[tuple[Group, Taken]]]
    ) -> dict[str, list[tuple[Group, PaneTable]]]:
        """All groups of all models together."""
        tables = iter(merged([panes for of in taken.values() for _, panes in of], self._rules))
        return {
            model_id: [(group, next(tables)) for group, _ in of] for model_id, of in taken.items()
        }

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
    ) -> list[Told | Reference]:
        watched = len(model.monitors)
        told = [*self._release.work_off(model, due, tables)]
        if model.model_id in self._ended:
            told += self._release.forget(model, due, upto_ms)
        if tables:
            model.forget_applied(reached)
            self._changes.note("arrivals", model.model_id)
        if tables or len(model.monitors) != watched:
            self._changes.note("monitors", model.model_id)
        return told

    def _prune(self, model: ModelState, is_done: Callable[[Life], bool]) -> None:
        """Forget lives that are over for both kinds."""
        for group, lives in list(model.lives.items()):
            kept = [life for life in lives if not (life.is_over and is_done(life))]
            if len(kept) < len(lives):
                self._changes.note("arrivals", model.model_id)
            model.lives[group] = kept
            if not kept:
                del model.lives[group]
        if not any(life.is_over for lives in model.lives.values() for life in lives):
            self._ended.discard(model.model_id)


def _count_predictions(model: ModelState, panes: Mapping[Group, tuple[Ints, Ints]]) -> None:
    """Of each group pane ends and their rows; those that belong to no life do not count."""
    parts = []
    for group, (ends, rows) in panes.items():
        for life in model.lives.get(group, ()):
            low, high = np.searchsorted(ends, [life.first_end_ms, life.last_end_ms + 1])
            parts.append((ends[low:high], rows[low:high]))
    if len(parts) == 1:
        model.maturity.count_predictions(*parts[0])
    elif parts:
        ends, place = np.unique(np.concatenate([ends for ends, _ in parts]), return_inverse=True)
        rows = np.bincount(place, weights=np.concatenate([rows for _, rows in parts]))
        model.maturity.count_predictions(ends, rows.astype(np.int64))


def _is_past(due: Due, forget_ms: int, upto_ms: int, life: Life) -> bool:
    """Whether nothing of this life can be due any more."""
    return due.ready_ms(life.last_end_ms + forget_ms) < upto_ms
