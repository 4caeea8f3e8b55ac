"""Stage 2: one partition of the panes topic, that is, all of some models.

Blocks of all source partitions wait until every source partition's watermark has passed a pane's
ready time; then panes are merged and watched in (ready time, kind, pane end, series) order.
Findings leave with the progress of each kind, by which stage 3 knows that nothing earlier comes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from stream import traffic_power
from stream.agenda import Agenda
from stream.columns import Group
from stream.due import Due, Told
from stream.early_maturity import Early
from stream.events import Effect, ToFindings, ToJournal, ToReferences
from stream.grouped_rows import Piece, pieces
from stream.maturity import Decision
from stream.model_inbox import Inbox
from stream.model_parts import Changes, decode, encode, of_version_1, restore_model
from stream.model_release import Observer, Release
from stream.model_state import ModelState
from stream.model_watch import GroupWatch, Ready
from stream.monitor import Monitor
from stream.monitor_state import Sealed
from stream.monitor_told import LabelStatus, MonitorStatus, SeriesStatus
from stream.monitors import AWAKE, Awake
from stream.numbering import Said, Speaker
from stream.pane_kinds import PaneKind, is_judged, series_at
from stream.panes import PaneTable
from stream.reference import Reference
from stream.renewals import Renewals
from stream.rule_book import Schedule
from stream.rules import Rules
from stream.snapshot import Part
from stream.times import iso
from stream.version_facts import shown_lives
from stream.watermark import BEFORE_ALL_MS
from stream.wire import (
    Announcement,
    Block,
    Bundle,
    DelayBlock,
    Finding,
    FindingKind,
    Learned,
    MaturityDecision,
    Progress,
    Renewed,
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
        awake: int = AWAKE,
    ) -> None:
        """`awake`: so many monitors at most, between two models."""
        self.rules = rules  # for what is the same in all that may come into force
        self._schedule = Schedule(rules)
        self._renewals = Renewals()
        self._changes = Changes()
        self._awake = Awake(awake)
        release = Release(self._schedule, self._renewals, rules, observe)
        self._watch = GroupWatch(rules, self._changes, release, self._awake)
        self.partition = partition
        self._speaker = Speaker(partition)
        self._inbox = Inbox(source_partitions)
        self._sources = source_partitions
        self._models: dict[str, ModelState] = {}
        self._agenda = Agenda()
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
                rows = None if block.rows is None or not block.rows else Piece.of(block.rows)
                self._keep((block.source, block.kind, block.group), rows, block.table)
            case Bundle() as bundle:
                for group, piece in pieces(bundle.rows):
                    self._keep((bundle.source, bundle.kind, group), piece, None)
            case DelayBlock() as block:
                self._keep_delays(block)
            case Learned(source=source, model_id=model_id, is_early=is_early):
                if self._model(model_id).learn(source, is_early=is_early):
                    self._agenda.unsettled.add(model_id)
                    self._changes.note("arrivals", model_id)
            case Announcement() as said:
                furthest_ms = self._inbox.reached_by(said.source)[1]
                for model_id in sorted(self._agenda.unsettled):
                    model = self._models[model_id]
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
        return [
            replace(status, series=_shown(one, status.series))
            for one in self._asked()
            for status in one.status()
        ]

    def _asked(self) -> Iterator[Monitor | MonitorStatus]:
        return (one for model in self._models.values() for one in model.monitors.asked())

    def powers(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """Of one model, or of all: the smallest changes that would be found of what is watched."""
        rules, found = self._schedule.at(self._progress[0]), list[dict[str, Any]]()
        for model in self._models.values():
            if model_id not in {None, model.model_id}:
                continue
            for monitor in model.monitors.seen():
                powers = monitor.powers()
                found += [one | {"series": _shown(monitor, one["series"])} for one in powers]
            for segment, traffic in sorted(model.traffic.items()):
                of_group = rules.of_group(model.model_id, is_segment=bool(segment))
                found += traffic_power.shown(traffic, segment, of_group)
        return found

    def watched(self) -> tuple[int, int]:
        """Groups watched, and panes of groups for which there was no room, so far."""
        return len(self._watch.roster), self._watch.roster.refused

    def shadows(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """Each shadow beside its champions, as far as both were judged; of one model or of all."""
        rules = self._schedule.at(self._progress[1])
        return [
            {"model": group[0], "version": group[1], "role": group[2]}
            | pairs.status(rules.shadow_of(group[0]).margin)
            for model in self._models.values()
            if model_id in {None, model.model_id}
            for group, pairs in sorted(model.pairs.items())
        ]

    def experiments(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """Where the experiments of one model or of all stand."""
        return [
            {"model": model.model_id} | watch.status()
            for model in self._models.values()
            if model_id in {None, model.model_id}
            for _, watch in sorted(model.experiments.items())
        ]

    def deployed(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """References that versions were given, of one model or of all, and from when on."""
        return [
            {"model": of.model_id, "version": of.version, "kind": kind}
            | ({"segment": segment} if segment else {})
            | {"id": reference.id, "source": reference.source, "count": reference.count}
            | {"from": iso(of.at_ms) if of.at_ms > 0 else None}
            for of in self._renewals.deployed()
            if of.deployment is not None and model_id in {None, of.model_id}
            for (kind, segment), reference in sorted(of.deployment.references.items())
        ]

    def refused_features(self) -> int:
        """Panes of features for which there was no room, of the groups watched now."""
        return sum(one.refused_features for one in self._asked())

    def maturities(self) -> dict[str, int | None]:
        """By model, of those that `auto` has decided."""
        return {
            model_id: model.maturity.decision.maturity_ms
            for model_id, model in sorted(self._models.items())
            if model.maturity.decision is not None
        }

    def labels(self) -> dict[Group, LabelStatus]:
        """Label coverage and label delay of each group so far."""
        self._watch.grow_up(self._models)
        return {
            one.group: one.labels()
            for one in self._asked()
            if one.kind == "cohort" and not one.group[3]
        }

    def versions(self, model_id: str | None = None) -> list[dict[str, Any]]:
        """Which versions answer predictions, of one model or of all: how many so far, and their
        share of those of their model, shadows apart."""
        found = []
        for model in self._models.values():
            if model_id in {None, model.model_id}:
                found += shown_lives(model.lives)
        return found

    # -- arrivals

    def _model(self, model_id: str) -> ModelState:
        if model_id not in self._models:
            self._models[model_id] = ModelState(
                model_id, self._schedule.of_model(model_id), self._awake
            )
            self._agenda.unsettled.add(model_id)
        return self._models[model_id]

    def _keep(
        self, place: tuple[int, PaneKind, Group], rows: Piece | None, table: PaneTable | None
    ) -> None:
        """`place`: from which source partition, which kind of panes, whose."""
        source, kind, group = place
        model = self._model(group[0])
        if model.keep(place, rows, table, self._inbox.reached_by(source)):
            self._changes.note("arrivals", model.model_id)
            self._note(model, judged=is_judged(kind))

    def _note(self, model: ModelState, *, judged: bool) -> None:
        """When its panes that wait may be ready, as far as watermarks alone say that."""
        if judged and model.model_id in self._agenda.unsettled:
            return
        for due in self._watch.dues(model, judged=judged):
            first_end_ms = model.first_end_ms(due.kind)
            if first_end_ms is not None:
                ready_ms = due.ready_ms(first_end_ms)
                self._agenda.note(model.model_id, ready_ms, judged=judged)

    def _keep_delays(self, block: DelayBlock) -> None:
        model = self._models.get(block.model_id)  # None: there was no room for its panes
        if model is not None and model.keep_delays(block):
            self._changes.note("arrivals", block.model_id)

    # -- releases

    def release(self) -> list[Effect]:
        """Merge and watch what the watermarks heard of allow."""
        if not self._inbox.has_heard_all:
            return []
        reached = self._inbox.reached
        prediction_ms = min(prediction for prediction, _ in reached.values())
        cohort_ms = min(cohort for _, cohort in reached.values())
        asked = self._agenda.due(prediction_ms, judged=False)
        seen_ms = self._inbox.seen_ms
        told = self._watch.predictions(self._models, asked, prediction_ms, reached, seen_ms)
        effects = self._effects("prediction", told)
        unsettled, ready = self._agenda.unsettled, list[Ready]()
        looked_at = sorted(unsettled | self._agenda.due(cohort_ms, judged=True) | self._watch.ended)
        asked_ms: dict[str, int] = {}  # ready times of cohorts to come are behind it
        for model_id in looked_at:
            model = self._models[model_id]
            effects += self._decide(model_id, model, cohort_ms)
            of_model, asked_ms[model_id] = self._ready(model, cohort_ms)
            ready += of_model
            if model_id in unsettled and model.is_settled(self._sources):
                unsettled.discard(model_id)
        effects += self._effects("cohort", self._watch.compared(ready, reached))
        effects += self._effects("cohort", self._watch.cohorts(ready, reached))
        for model, due, upto_ms in ready:
            if upto_ms == model.maturity.judged_ms:
                effects += self._settle_early(model, due, cohort_ms)
                asked_ms[model.model_id] = min(cohort_ms, model.decided[1] - 1)
        held_ms = min([cohort_ms, *asked_ms.values()])
        for model_id in sorted({*asked, *looked_at}):
            model = self._models[model_id]
            model.settle_inputs(asked_ms.get(model_id, cohort_ms))
            if model.is_unwatched:
                self._agenda.forget(model_id)
                self._watch.forget(model_id)
                del self._models[model_id]
                self._changes.note("arrivals", model_id)
                self._changes.note("monitors", model_id)
                continue
            for judged in (False, True):
                self._note(model, judged=judged)
            self._awake.rest()
        progress = (prediction_ms, held_ms)
        if progress != self._progress:
            self._progress = progress
            effects.append(self._tell_progress())
        return effects

    def _ready(self, model: ModelState, cohort_ms: int) -> tuple[list[Ready], int]:
        """Which of its cohorts are, and up to which ready time; of an early age up to when all of
        them are judged."""
        early, judged_ms = model.maturity.early, model.maturity.judged_ms
        maturity, decided_at_ms = model.decided
        learned, last_ms = model.learned, cohort_ms
        if early is not None and judged_ms is not None:
            maturity, decided_at_ms = early.maturity_ms, early.decided_at_ms
            learned, last_ms = model.learned_early, min(cohort_ms, judged_ms)
        elif early is not None and maturity is None:  # what is left of its cohorts ends with them
            maturity = early.maturity_ms
        if decided_at_ms > cohort_ms:
            return [], cohort_ms  # not decided: no cohort can be ready
        if len(learned) < self._sources and decided_at_ms != BEFORE_ALL_MS:
            return [], decided_at_ms - 1
        # whoever has learned has sent its cohorts up to what it has announced since, which
        # after a takeover may be less than what its predecessor had announced
        upto_ms = min([last_ms, *(ms for ms in learned.values() if ms is not None)])
        if maturity is None:
            self._watch.no_cohorts(model)
        elif upto_ms >= decided_at_ms:
            dues = self._watch.due_cohorts(model, maturity, decided_at_ms)
            return [(model, due, upto_ms) for due in dues], upto_ms
        return [], max(upto_ms, decided_at_ms - 1)

    def _settle_early(self, model: ModelState, due: Due, cohort_ms: int) -> list[Effect]:
        """All cohorts of an early age are worked off: whether it is the maturity."""
        self._changes.note("arrivals", model.model_id)
        early, decision = model.maturity.early, model.maturity.settle_early()
        if decision is not None:
            return [self._to_journal(model.model_id, decision)]
        assert early is not None
        self._changes.note("monitors", model.model_id)
        told = self._effects("cohort", self._watch.judge_anew(model, due, early.until_ms))
        return [*told, *self._decide(model.model_id, model, cohort_ms)]

    def _tell_progress(self) -> ToFindings:
        record = Progress(self.partition, self._sources, self.epoch, *self._progress)
        return self._say(record)

    def announce(self) -> list[Effect]:
        """The progress again, under a new owner's epoch."""
        return [self._tell_progress()]

    # -- decisions

    def decisions(self) -> list[MaturityDecision]:
        """That `auto` has made, in the order in which they are learned."""
        return [
            self._entry(model_id, decision)
            for model_id, model in sorted(self._models.items())
            for decision in (model.maturity.early, model.maturity.decision)
            if decision is not None
        ]

    def repeat_decisions(self, journaled: Iterable[MaturityDecision]) -> list[Effect]:
        """Maturities that this state knows and the journal does not: whoever decided them was
        overtaken before it was heard, and what it said is void."""
        known = {(entry.model_id, entry.until_ms is None) for entry in journaled}
        return [
            ToJournal(encode_journal(entry))
            for entry in self.decisions()
            if (entry.model_id, entry.until_ms is None) not in known
        ]

    def next_ready_ms(self) -> int:
        """The first ready time of which nothing has been released yet."""
        return self._progress[0] + 1

    def activate(self, at_ms: int, rules: Rules, announced_at: int | None = None) -> None:
        """Panes with a ready time from here on are judged by these rules. Whoever calls it has
        journaled it, and `at_ms` is at least `next_ready_ms`."""
        self._schedule.add(at_ms, rules, announced_at)
        self._watch.plan_anew(self._models)

    def renew(self, renewed: Renewed) -> None:
        """From its ready time on a new reference is gathered, or one that is deployed holds;
        journaled as `activate` has it."""
        place = (renewed.at_ms, renewed.announced_at, renewed.model_id, renewed.version)
        self._renewals.add(*place, renewed.references)

    def has_activated(self, announced_at: int) -> bool:
        """What was announced at this offset: a configuration, or a renewal."""
        return self._schedule.has(announced_at) or self._renewals.has(announced_at)

    def _decide(self, model_id: str, model: ModelState, cohort_ms: int) -> list[Effect]:
        if model.configured_maturity != "auto":
            return []
        decision = model.maturity.decide(cohort_ms)
        if decision is None:
            return []
        self._changes.note("arrivals", model_id)
        return [self._to_journal(model_id, decision)]

    def _to_journal(self, model_id: str, decision: Decision | Early) -> ToJournal:
        return ToJournal(encode_journal(self._entry(model_id, decision)))

    def _entry(self, model_id: str, decision: Decision | Early) -> MaturityDecision:
        said = decision.maturity_ms, decision.decided_at_ms
        until_ms = decision.until_ms if isinstance(decision, Early) else None
        return MaturityDecision(2, self.partition, self.epoch, model_id, *said, until_ms)

    def _effects(self, kind: FindingKind, told: Iterable[Told | Reference]) -> list[Effect]:
        return [
            ToReferences(one.id.encode(), one.encode())
            if isinstance(one, Reference)
            else self._say(one.record(self.partition, self.epoch, kind))
            for one in told
        ]

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
                "renewals": self._renewals.snapshot(),
                "refused": self._watch.roster.refused,
            }
        )
        parts = [Part("base", None, lambda: base), *self._schedule.parts()]
        parts += self._renewals.parts()
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
        awake: int = AWAKE,
    ) -> ModelStage:
        """Also of the one part "state" that 0.1.0 wrote. What is in force when, the state knows
        itself; `rules` must be such that they could follow.

        Raises BrokenRecordError, ChangedRulesError.
        """
        stage = cls(rules, partition, source_partitions, observe=observe, awake=awake)
        if "state" in state:
            base, models = of_version_1(state["state"])
        else:
            base = decode(state["base"])
            models = stage._changes.restore(base["changes"], state)
            stage._schedule = Schedule.restore(base["schedule"], state)
            stage._renewals = Renewals.restore(base.get("renewals", ()), state)
            release = Release(stage._schedule, stage._renewals, rules, observe)
            stage._watch = GroupWatch(rules, stage._changes, release, stage._awake)
            stage._watch.roster.refused = base["refused"]
        stage._inbox.restore(base["inbox"])
        stage._speaker.restore(base["speaker"])
        stage._progress = (base["progress"][0], base["progress"][1])
        sealed, by_hash = Sealed(state), stage._schedule.all()
        for model_id, found in models.items():
            model = stage._model(model_id)
            restore_model(model, found, sealed, by_hash)
            stage._watch.enter(model)
            stage._note(model, judged=False)
            stage._awake.rest()
        return stage


def _shown(monitor: Monitor | MonitorStatus, series: str) -> str:
    """What a series is called where only model, version and role are told apart."""
    return f"{series_at(monitor.kind, series)} {monitor.group[3]}".rstrip()
