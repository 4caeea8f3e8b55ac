"""Stage 2: one partition of the panes topic, that is, all of some models.

Blocks of all source partitions wait until every source partition's watermark has passed a pane's
ready time; then panes are merged and watched in (ready time, kind, pane end, series) order.
Findings leave with the progress of each kind, by which stage 3 knows that nothing earlier comes.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping, Sequence

from stream.columns import Group
from stream.events import Effect, ToFindings, ToJournal, ToReferences
from stream.maturity import Decision
from stream.model_inbox import Inbox
from stream.model_parts import Changes, decode, encode, of_version_1, restore_model
from stream.model_release import Due, Observer, Release, Told
from stream.model_state import ModelState, Waiting
from stream.monitor import LabelStatus, SeriesStatus
from stream.monitor_state import Sealed
from stream.numbering import Said, Speaker
from stream.panes import PaneTable
from stream.reference import Reference
from stream.roster import Life, Roster
from stream.rule_book import Schedule
from stream.rules import Rules
from stream.snapshot import Part
from stream.watermark import BEFORE_ALL_MS
from stream.wire import (
    Announcement,
    Block,
    DelayBlock,
    Finding,
    Learned,
    MaturityDecision,
    PaneKind,
    Progress,
    encode_finding,
    encode_journal,
)


class ModelStage:
    def __init__(
        self,
        rules: Rules,
        partition: int,
        source_partitions: int,
        *,
        observe: Observer | None = None,
    ) -> None:
        self.rules = rules  # for what is the same in all that may come into force
        self._schedule = Schedule(rules)
        self._roster = Roster(rules.max_groups, rules.forget_ms)
        self._ended: set[str] = set()  # models with lives that are over and not forgotten yet
        self._release = Release(self._schedule, rules.forget_ms, observe)
        self.partition = partition
        self._speaker = Speaker(partition)
        self._inbox = Inbox(source_partitions)
        self._sources = source_partitions
        self._models: dict[str, ModelState] = {}
        self._changes = Changes()
        self._progress = (BEFORE_ALL_MS, BEFORE_ALL_MS)

    @property
    def epoch(self) -> int:
        """Of this owner; the shell sets it after its claim."""
        return self._speaker.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._speaker.epoch = epoch

    def said(self, listener: int) -> Said:
        """How far it is with what it says to a partition of the next stage."""
        return self._speaker.said(listener)

    def handle(self, value: bytes) -> list[Effect]:
        """One record of the panes topic, in topic order."""
        return self.release() if self.hear(value) else []

    def hear(self, value: bytes) -> bool:
        """Take a record without drawing conclusions; whether a watermark has come with it."""
        match self._inbox.hear(value):
            case Block() as block:
                self._keep(block)
            case DelayBlock() as block:
                self._keep_delays(block)
            case Learned(source=source, model_id=model_id):
                model = self._model(model_id)
                if source not in model.learned:
                    model.learned[source] = BEFORE_ALL_MS
                    self._changes.note("arrivals", model_id)
            case Announcement() as said:
                furthest_ms = self._inbox.reached_by(said.source)[1]
                for model_id, model in self._models.items():
                    if model.announced(said.source, said.cohort_ms, furthest_ms):
                        self._changes.note("arrivals", model_id)
                return True
        return False

    # -- reading

    def source_watermark_ms(self, source_partition: int, side: str) -> int | None:
        announced = self._inbox.announced.get(source_partition)
        if announced is None:
            return None
        at_ms = announced.prediction_ms if side == "predictions" else announced.outcome_ms
        return None if at_ms == BEFORE_ALL_MS else at_ms

    def merged_until_ms(self) -> int | None:
        """Prediction panes with a ready time up to here are merged."""
        at_ms = self._progress[0]
        return None if at_ms == BEFORE_ALL_MS else at_ms

    def status(self) -> list[SeriesStatus]:
        monitors = [m for model in self._models.values() for m in model.monitors.values()]
        return [status for monitor in monitors for status in monitor.status()]

    def watched(self) -> tuple[int, int]:
        """Groups watched, and panes of groups for which there was no room, so far."""
        return len(self._roster), self._roster.refused

    def maturities(self) -> dict[str, int | None]:
        """By model, of those that `auto` has decided."""
        return {
            model_id: model.maturity.decision.maturity_ms
            for model_id, model in sorted(self._models.items())
            if model.maturity.decision is not None
        }

    def labels(self) -> dict[Group, LabelStatus]:
        """Label coverage and label delay of each group so far."""
        return {
            group: monitor.labels()
            for model in self._models.values()
            for (kind, group), monitor in model.monitors.items()
            if kind == "cohort"
        }

    # -- arrivals

    def _model(self, model_id: str) -> ModelState:
        if model_id not in self._models:
            self._models[model_id] = ModelState(model_id, self._schedule.of_model(model_id))
        return self._models[model_id]

    def _keep(self, block: Block) -> None:
        model, place = self._model(block.group[0]), (block.source, block.kind, block.group)
        applied_ms = max(model.applied.get(place, BEFORE_ALL_MS), self._come_ms(model, place))
        last = -BEFORE_ALL_MS
        rows = None if block.rows is None else block.rows.between(applied_ms + 1, last)
        table = None if block.table is None else block.table.between(applied_ms + 1, last)
        ends = [int(p.pane_end.max()) for p in (rows, table) if p is not None and len(p)]
        if not ends:
            return
        model.applied[place] = max(ends)
        model.waiting.setdefault((block.kind, block.group), Waiting()).add(rows, table)
        self._changes.note("arrivals", block.group[0])

    def _come_ms(self, model: ModelState, place: tuple[int, PaneKind, Group]) -> int:
        """Up to this end all panes have come from there: their ready time was announced behind
        them. A new owner of the source partition may send some again."""
        source, kind, _ = place
        prediction_ms, cohort_ms = self._inbox.reached_by(source)
        if kind == "prediction":
            return prediction_ms - self.rules.grace_ms
        maturity, decided_at_ms = self._maturity(model)
        if maturity is None:
            return BEFORE_ALL_MS
        if decided_at_ms != BEFORE_ALL_MS:  # announced since it was learned, that is
            since_ms = model.learned.get(source, BEFORE_ALL_MS)
            cohort_ms = cohort_ms if since_ms is None else since_ms
        return cohort_ms - self.rules.grace_ms - maturity

    def _keep_delays(self, block: DelayBlock) -> None:
        model = self._models.get(block.model_id)
        if model is None:
            return  # its panes have been here before: there was no room for them
        new = block.delays.after(model.delays_applied.get(block.source, BEFORE_ALL_MS))
        if len(new.count):
            model.delays_applied[block.source] = int(new.outcome_pane_end.max())
            model.maturity.add(new)
            self._changes.note("arrivals", block.model_id)

    # -- releases

    def release(self) -> list[Effect]:
        """Merge and watch what the watermarks heard of allow."""
        if not self._inbox.has_heard_all:
            return []
        reached = self._inbox.reached
        prediction_ms = min(prediction for prediction, _ in reached.values())
        cohort_ms = min(cohort for _, cohort in reached.values())
        effects = self._release_predictions(prediction_ms)
        held_ms = cohort_ms
        for model_id in sorted(self._models):
            model = self._models[model_id]
            effects += self._decide(model_id, model, cohort_ms)
            maturity, decided_at_ms = self._maturity(model)
            if decided_at_ms > cohort_ms:
                continue  # not decided: no cohort can be ready
            if len(model.learned) < self._sources and decided_at_ms != BEFORE_ALL_MS:
                held_ms = min(held_ms, decided_at_ms - 1)
                continue
            # whoever has learned has sent its cohorts up to what it has announced since, which
            # after a takeover may be less than what its predecessor had announced
            upto_ms = min([cohort_ms, *(ms for ms in model.learned.values() if ms is not None)])
            held_ms = min(held_ms, max(upto_ms, decided_at_ms - 1))
            if maturity is not None and upto_ms >= decided_at_ms:
                due = Due("cohort", self.rules.grace_ms + maturity, decided_at_ms)
                effects += self._release_cohorts(model, due, upto_ms)
            elif maturity is None and model_id in self._ended:
                self._prune(model, lambda _: True)
        for model_id in [m for m, model in self._models.items() if model.is_unwatched]:
            del self._models[model_id]
            self._changes.note("arrivals", model_id)
            self._changes.note("monitors", model_id)
        progress = (prediction_ms, held_ms)
        if progress != self._progress:
            self._progress = progress
            effects.append(self._tell_progress())
        return effects

    def _tell_progress(self) -> ToFindings:
        record = Progress(self.partition, self._sources, self.epoch, *self._progress)
        return self._say(record)

    def announce(self) -> list[Effect]:
        """The progress again, under a new owner's epoch."""
        return [self._tell_progress()]

    # -- decisions

    def repeat_decisions(self, journaled: Container[str]) -> list[Effect]:
        """Maturities that this state knows and the journal does not: whoever decided them was
        overtaken before it was heard, and what it said is void."""
        return [
            self._to_journal(model_id, model.maturity.decision)
            for model_id, model in sorted(self._models.items())
            if model.maturity.decision is not None and model_id not in journaled
        ]

    def next_ready_ms(self) -> int:
        """The first ready time of which nothing has been released yet."""
        return self._progress[0] + 1

    def activate(self, at_ms: int, rules: Rules, announced_at: int | None = None) -> None:
        """Panes with a ready time from here on are judged by these rules. Whoever calls it has
        journaled it, and `at_ms` is at least `next_ready_ms`."""
        self._schedule.add(at_ms, rules, announced_at)

    def has_activated(self, announced_at: int) -> bool:
        return self._schedule.has(announced_at)

    def _maturity(self, model: ModelState) -> tuple[int | None, int]:
        """(maturity, decided at); decided at the end of time while it is not."""
        configured = model.configured_maturity
        if configured != "auto":
            assert not isinstance(configured, str)
            return configured, BEFORE_ALL_MS
        decision = model.maturity.decision
        if decision is None:
            return None, -BEFORE_ALL_MS
        return decision.maturity_ms, decision.decided_at_ms

    def _decide(self, model_id: str, model: ModelState, cohort_ms: int) -> list[Effect]:
        if model.configured_maturity != "auto":
            return []
        decision = model.maturity.decide(cohort_ms)
        if decision is None:
            return []
        self._changes.note("arrivals", model_id)
        return [self._to_journal(model_id, decision)]

    def _to_journal(self, model_id: str, decision: Decision) -> ToJournal:
        entry = MaturityDecision(
            2, self.partition, self.epoch, model_id, decision.maturity_ms, decision.decided_at_ms
        )
        return ToJournal(encode_journal(entry))

    def _release_predictions(self, prediction_ms: int) -> list[Effect]:
        """All models together: for which groups there is room follows from all their panes."""
        due = Due("prediction", self.rules.grace_ms, BEFORE_ALL_MS)
        until_ms = prediction_ms - due.age_ms
        tables = {
            model_id: taken
            for model_id, model in sorted(self._models.items())
            if (taken := model.take("prediction", until_ms))
        }
        ends = {group: table.pane_end for of in tables.values() for group, table in of}
        for group, life in self._roster.admit(ends, until_ms):
            self._models[group[0]].lives.setdefault(group, []).append(life)
        ended = {group[0] for group in self._roster.ended}
        self._ended |= ended
        effects: list[Effect] = []
        for model_id in sorted({*tables, *ended}):
            model = self._models[model_id]
            effects += self._perform(model, due, tables.get(model_id, []), prediction_ms)
        return effects

    def _release_cohorts(self, model: ModelState, due: Due, upto_ms: int) -> list[Effect]:
        tables = model.take("cohort", upto_ms - due.age_ms)
        if not tables and model.model_id not in self._ended:
            return []
        effects = self._perform(model, due, tables, upto_ms)
        forget_ms = self.rules.forget_ms
        self._prune(model, lambda life: due.ready_ms(life.last_end_ms + forget_ms) < upto_ms)
        return effects

    def _perform(
        self, model: ModelState, due: Due, tables: Sequence[tuple[Group, PaneTable]], upto_ms: int
    ) -> list[Effect]:
        self._changes.note("arrivals", model.model_id)
        self._changes.note("monitors", model.model_id)
        model.applied = {
            place: end_ms
            for place, end_ms in model.applied.items()
            if end_ms > self._come_ms(model, place)
        }
        told = [*self._release.work_off(model, due, tables)]
        if model.model_id in self._ended:
            told += self._release.forget(model, due, upto_ms)
        return [
            ToReferences(one.id.encode(), one.encode())
            if isinstance(one, Reference)
            else self._to_findings(due.kind, one)
            for one in told
        ]

    def _prune(self, model: ModelState, is_done: Callable[[Life], bool]) -> None:
        """Forget lives that are over for both kinds."""
        self._changes.note("arrivals", model.model_id)
        for group, lives in list(model.lives.items()):
            model.lives[group] = [x for x in lives if not (x.is_over and is_done(x))]
            if not model.lives[group]:
                del model.lives[group]
        if not any(life.is_over for lives in model.lives.values() for life in lives):
            self._ended.discard(model.model_id)

    def _to_findings(self, kind: PaneKind, told: Told) -> ToFindings:
        finding = told.finding
        return self._say(
            Finding(
                partition=self.partition,
                epoch=self.epoch,
                pane_kind=kind,
                ready_ms=told.ready_ms,
                pane_end_ms=finding.pane_end_ms,
                group=told.group,
                series=finding.series,
                alertname=finding.alertname,
                verdict="quiet" if finding.detail is None else "drift",
                detail=finding.detail or {},
            )
        )

    def _say(self, record: Finding | Progress) -> ToFindings:
        return ToFindings(self._speaker.say(0, encode_finding(record)))

    # -- state

    def snapshot(self) -> list[Part]:
        base = encode(
            {
                "inbox": self._inbox.snapshot(),
                "speaker": self._speaker.snapshot(),
                "progress": list(self._progress),
                "changes": self._changes.latest,
                "schedule": self._schedule.snapshot(),
                "refused": self._roster.refused,
            }
        )
        parts = [Part("base", None, lambda: base), *self._schedule.parts()]
        return [*parts, *self._changes.parts(self._models)]

    @classmethod
    def restore(
        cls,
        rules: Rules,
        partition: int,
        source_partitions: int,
        state: Mapping[str, bytes],
        *,
        observe: Observer | None = None,
    ) -> ModelStage:
        """Also of the one part "state" that 0.1.0 wrote. What is in force when, the state knows
        itself; `rules` must be such that they could follow.

        Raises BrokenRecordError, ChangedRulesError.
        """
        stage = cls(rules, partition, source_partitions, observe=observe)
        if "state" in state:
            base, models = of_version_1(state["state"])
        else:
            base = decode(state["base"])
            models = stage._changes.restore(base["changes"], state)
            stage._schedule = Schedule.restore(base["schedule"], state)
            stage._release = Release(stage._schedule, rules.forget_ms, observe)
            stage._roster.refused = base["refused"]
        stage._inbox.restore(base["inbox"])
        stage._speaker.restore(base["speaker"])
        stage._progress = (base["progress"][0], base["progress"][1])
        sealed, by_hash = Sealed(state), stage._schedule.all()
        for model_id, found in models.items():
            restore_model(stage._model(model_id), found, sealed, by_hash)
            stage._enter(stage._models[model_id])
        return stage

    def _enter(self, model: ModelState) -> None:
        for group, lives in model.lives.items():
            for life in lives:
                self._roster.enter(group, life)
                if life.is_over:
                    self._ended.add(model.model_id)
