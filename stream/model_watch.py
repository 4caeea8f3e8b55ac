"""What stage 2 works off at a release, and what it forgets: kinds, lives, groups."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from stream.columns import Group
from stream.model_parts import Changes
from stream.model_release import Due, Release, Told
from stream.model_state import ModelState
from stream.panes import PaneTable
from stream.reference import Reference
from stream.roster import Life, Roster
from stream.rules import Rules
from stream.waiting_panes import Taken, merged
from stream.watermark import BEFORE_ALL_MS

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

    def predictions(
        self,
        models: Mapping[str, ModelState],
        prediction_ms: int,
        reached: Reached,
        seen_ms: int | None = None,
    ) -> list[Told | Reference]:
        """All models together: for which groups there is room follows from all their panes.
        `seen_ms`: predictions were looked for only so far, the rest is the end of the input."""
        due = Due("prediction", self._rules.grace_ms, BEFORE_ALL_MS)
        until_ms = prediction_ms - due.age_ms
        tables = self._merged(
            {
                model_id: taken
                for model_id, model in sorted(models.items())
                if (taken := model.take("prediction", until_ms))
            }
        )
        ends = {group: table.pane_end for of in tables.values() for group, table in of}
        for group, life in self.roster.admit(ends, until_ms):
            models[group[0]].lives.setdefault(group, []).append(life)
        ended = {group[0] for group in self.roster.ended}
        self._ended |= ended
        told: list[Told | Reference] = []
        for model_id in sorted({*tables, *ended}):
            model = models[model_id]
            self._changes.note("arrivals", model_id)  # lives have changed
            told += self._work_off(model, due, tables.get(model_id, []), prediction_ms, reached)
        for model_id, model in sorted(models.items()):
            if model.came or until_ms >= model.traffic.next_ms:
                self._changes.note("arrivals", model_id)
                seen = until_ms if seen_ms is None else min(seen_ms - due.age_ms, until_ms)
                told += self._release.traffic(model, due, until_ms, seen)
        return told

    def cohorts(
        self, ready: Sequence[tuple[ModelState, Due, int]], reached: Reached
    ) -> list[Told | Reference]:
        """Of models with a maturity, each up to its own ready time."""
        tables = self._merged(
            {
                model.model_id: taken
                for model, due, upto_ms in ready
                if (taken := model.take("cohort", upto_ms - due.age_ms))
            }
        )
        forget_ms = self._rules.forget_ms
        told: list[Told | Reference] = []
        for model, due, upto_ms in ready:
            if model.model_id not in tables and model.model_id not in self._ended:
                continue
            told += self._work_off(model, due, tables.get(model.model_id, []), upto_ms, reached)
            self._prune(model, partial(_is_past, due, forget_ms, upto_ms))
        return told

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


def _is_past(due: Due, forget_ms: int, upto_ms: int, life: Life) -> bool:
    """Whether nothing of this life can be due any more."""
    return due.ready_ms(life.last_end_ms + forget_ms) < upto_ms
