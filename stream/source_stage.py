"""Stage 1: one source partition, its predictions and its outcomes.

The walk of a batch: decode (dead letters leave), judge (future, late, duplicate), add to the open
panes and hold for the join; then what the watermarks have closed leaves as blocks, and the new
watermarks are announced to every stage-2 partition.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping

import numpy as np
from numpy.typing import NDArray

from stream.acceptance import Acceptance
from stream.closed_panes import closed
from stream.columns import Rows, those
from stream.event_columns import PredictionColumns
from stream.events import Effect, Records
from stream.feature_names import Alike, FeatureNames
from stream.grouped_rows import GroupedRows, Stretch
from stream.identity import Hashes
from stream.intake import Intake
from stream.numbering import Said
from stream.open_panes import OpenPanes
from stream.outcome_join import OutcomeJoin
from stream.pane_outbox import PaneOutbox
from stream.pending import HELD
from stream.record_columns import outcome_columns, prediction_columns
from stream.rules import Rules
from stream.run import Columns, alike
from stream.segments import SegmentValues
from stream.shedding import Cap, Side, Wish
from stream.snapshot import Part, pack, unpack
from stream.subjects import named_by, subjects_of
from stream.watermark import BEFORE_ALL_MS, pane_end_ms
from stream.wire import DelayBlock, Learned

__all__ = ["STATE_VERSION", "Side", "SourceStage"]
STATE_VERSION = 2  # version 1, one part of everything, is read too


class SourceStage:
    def __init__(
        self, rules: Rules, partition: int, partitions: int, *, include_payload: bool = False
    ) -> None:
        self.rules = rules
        self._acceptance = Acceptance(rules)
        self.partition = partition
        self.partitions = partitions
        self._outbox = PaneOutbox(partition, partitions)
        self._include_payload = include_payload
        self._intake = Intake(rules)
        self._names = FeatureNames(rules)
        self._segments = SegmentValues()
        self._open = OpenPanes(rules)
        self._join = OutcomeJoin(rules)
        self._subject_of = named_by(rules)

    @property
    def epoch(self) -> int:
        """Of this owner; the shell sets it after its claim."""
        return self._outbox.speaker.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self._outbox.speaker.epoch = epoch

    def said(self, listener: int) -> Said:
        """How far it is with what it says to a partition of the next stage."""
        return self._outbox.speaker.said(listener)

    # -- inputs

    def predictions(self, records: Records) -> list[Effect]:
        """One fetched batch of the predictions topic."""
        usable = prediction_columns(
            records, self._acceptance.of("predictions"), include_payload=self._include_payload
        )
        timely = self._intake.timely("predictions", records, usable.columns, len(usable.dead))
        columns = usable.columns.take(timely.rows)
        keys = columns.keys()
        memory_ms = [self._memory_ms(group[0]) for group in columns.groups]
        until_ms = columns.time_ms + (
            memory_ms[0] if len(memory_ms) == 1 else np.array(memory_ms, np.int64)[columns.group]
        )
        ids = columns.identities(keys)
        new = self._intake.new("predictions", ids, timely.before_ms, until_ms)
        if len(new):
            may_wait, before_ms = those(timely.may_wait, new), those(timely.before_ms, new)
            mine = self._segments.split(columns.take(new), self.rules)
            self._apply(mine, those(keys, new), may_wait, before_ms)
        return [*usable.dead, *self._closed()]

    def outcomes(self, records: Records) -> list[Effect]:
        """One fetched batch of the outcomes topic."""
        usable = outcome_columns(
            records, self._acceptance.of("outcomes"), include_payload=self._include_payload
        )
        timely = self._intake.timely("outcomes", records, usable.columns, len(usable.dead))
        columns = usable.columns.take(timely.rows)
        effective = np.maximum(columns.time_ms, timely.before_ms)
        keys = columns.keys()
        until_ms = effective + self.rules.horizon_ms + self.rules.settled_ms
        ids = columns.identities(keys)
        new = self._intake.new("outcomes", ids, timely.before_ms, until_ms)
        if len(new):
            keys = those(keys, new)
            self._join.add_outcomes(
                {
                    "key": np.ascontiguousarray(keys[:, 0]),
                    "check": np.ascontiguousarray(keys[:, 1]),
                    "effective": those(effective, new),
                    **columns.take(new).truths(),
                }
            )
        return [*usable.dead, *self._closed()]

    def accept(self, side: Side, rules: Rules, announced_at: int) -> None:
        """A journaled decision: from here on the models of these rules are taken."""
        self._acceptance.accept(side, rules, announced_at)
        self._use(self._acceptance.merged())

    def _use(self, rules: Rules) -> None:
        self.rules = rules
        self._subject_of = named_by(rules)
        self._intake.rules = rules
        self._join.use(rules)

    def has_accepted(self, side: Side, announced_at: int) -> bool:
        return self._acceptance.has(side, announced_at)

    def advance(self, side: Side, watermark_ms: int) -> list[Effect]:
        """A journaled decision: idleness or a tick."""
        self._intake.marks[side].advance(watermark_ms)
        return self._closed()

    def end_of_input(self, event_time_ms: int) -> list[Effect]:
        """Nothing later than this is to come: close every pane up to it."""
        end = int(pane_end_ms(np.array([event_time_ms]), self.rules.pane_ms)[0])
        reached_ms = end + self.rules.grace_ms
        self._outbox.end_predictions(self._intake.marks["predictions"].at_ms, reached_ms)
        for mark in self._intake.marks.values():
            mark.advance(reached_ms)
        return self._closed()

    def learn(
        self, model_id: str, maturity_ms: int | None, until_ms: int | None = None
    ) -> list[Effect]:
        """Stage 2 has decided the maturity of a model, or early that of its cohorts that end by
        `until_ms`: those up to now leave."""
        is_early = until_ms is not None
        if self._join.knows(model_id, early=is_early) or self.rules.maturity_of(model_id) != "auto":
            return []
        self._join.learn(model_id, maturity_ms, until_ms)
        learned = Learned(self.partition, self.epoch, model_id, is_early)
        return [*self._cohorts(), *self._outbox.of_model(model_id, learned)]

    # -- caps

    def wishes(self) -> list[Wish]:
        """Levels of caps that are wanted now and not decided. A wish depends on how the topics
        interleave: it is journaled before it has effect."""
        return self._intake.wishes(self._join.pending(), len(self._join.outcomes))

    def shed(self, wish: Wish, at_offset: int | None = None) -> None:
        """A journaled decision, for records from this offset of the side on (None: the next)."""
        self._intake.shedding.decide((wish.side, wish.what), wish.level, at_offset)

    def shed_levels(self) -> Mapping[Cap, int]:
        """Those that hold now."""
        return self._intake.shedding.levels()

    # -- reading

    def watermark_ms(self, side: Side) -> int | None:
        at_ms = self._intake.marks[side].at_ms
        return None if at_ms == BEFORE_ALL_MS else at_ms

    def unmerged_panes(self, merged_until_ms: int) -> int:
        """Panes sent whose ready time is beyond what stage 2 has merged."""
        return self._outbox.unmerged_panes(merged_until_ms)

    def refused_features(self) -> int:
        """Values of features for which there was no room, of all time."""
        return self._names.refused

    def judged(self, side: Side) -> dict[str, int]:
        """The terms that `consumed` is made of: cheap, for every batch."""
        return dict(self._intake.judged[side])

    def ledger(self) -> dict[str, dict[str, int]]:
        steps = self.ledger_in_steps()
        while True:
            try:
                next(steps)
            except StopIteration as end:
                ledger: dict[str, dict[str, int]] = end.value
                return ledger

    def ledger_in_steps(self) -> Generator[None, None, dict[str, dict[str, int]]]:
        """It looks up what waits, some µs each. Nothing may change between the steps."""
        return self._ledger(
            (yield from self._join.outcome_terms(self._intake.marks["predictions"].at_ms))
        )

    def ledger_at_hand(self) -> dict[str, dict[str, int]]:
        """O(1); outcomes that wait are `undecided`."""
        return self._ledger(self._join.terms_at_hand())

    def _ledger(self, outcomes: dict[str, int]) -> dict[str, dict[str, int]]:
        matured = self._join.matured
        return {
            "predictions": {
                **self._intake.judged["predictions"],
                "matured_labelled": matured["matured_labelled"],
                "matured_unlabelled": matured["matured_unlabelled"],
                "pending": self._join.pending(),
                "unjoined": matured["unjoined"],
            },
            "outcomes": {**self._intake.judged["outcomes"], **outcomes},
        }

    # -- predictions into panes

    def _memory_ms(self, model_id: str) -> int:
        """How long an id is remembered. With `auto` it is the horizon for ever: what counts as a
        duplicate must not depend on the moment this partition learns the maturity."""
        maturity = self.rules.maturity_of(model_id)
        held_ms = self.rules.horizon_ms if maturity == "auto" else maturity or 0
        return max(self.rules.pane_ms + self.rules.grace_ms, held_ms)

    def _apply(
        self,
        columns: PredictionColumns,
        keys: Hashes,
        may_wait: NDArray[np.bool_],
        before_ms: NDArray[np.int64],
    ) -> None:
        """Into the open panes of their groups, and held for the join."""
        end = pane_end_ms(columns.time_ms, self.rules.pane_ms)
        after_ms = np.maximum(before_ms, columns.time_ms)
        names = [(shape.rows, tuple(shape.columns)) for shape in columns.shapes]
        is_known = self._names.going_on(columns.groups, columns.group, names, before_ms, after_ms)
        parts: dict[int, list[Alike]] = {}
        are_known = bool(is_known.all())
        for shape in columns.shapes:
            codes = those(columns.group, shape.rows)
            places = shape.rows if are_known else np.flatnonzero(is_known[codes])
            if len(places):
                known, at = shape.take(places), those(shape.rows, places)
                hashes = np.ascontiguousarray(those(columns.hashes, at)[:, 0])
                made = Rows(those(end, at), hashes, known.columns, columns.texts)
                self._open.add_all(GroupedRows(made, those(columns.group, at), columns.groups))
            for code, rows in () if are_known else _by_code(codes):
                if is_known[code]:
                    continue
                parts.setdefault(code, []).append((shape.rows[rows], shape.take(rows).columns))
        for code, of_group in parts.items():
            group = columns.groups[code]
            for rows, cells in self._names.take(group, of_group, before_ms, after_ms):
                made = Rows(end[rows], columns.hashes[rows, 0], {**cells}, columns.texts)
                self._open.add(group, made)
        held_as = np.zeros(len(columns.groups), HELD["group"].dtype)
        for code in _in_order(columns.group):  # numbered in the order in which they came
            held_as[code] = self._join.code_of(columns.groups[code])
        self._join.hold(
            {
                "key": np.ascontiguousarray(keys[:, 0]),
                "check": np.ascontiguousarray(keys[:, 1]),
                "group": held_as[columns.group]
                if len(held_as) > 1
                else alike(held_as[0], len(columns)),
                "time": columns.time_ms,
                **columns.claims(),
                **self._subjects(columns),
            },
            may_wait,
        )

    def _subjects(self, columns: PredictionColumns) -> Columns:
        named = self._subject_of
        return {"subject": subjects_of(columns, named)} if named else {}

    # -- what leaves

    def _closed(self) -> list[Effect]:
        marks = self._intake.marks
        predictions_ms = marks["predictions"].at_ms
        self._intake.purge()
        self._names.purge(predictions_ms)
        effects = [*self._closed_panes(), *self._delays(), *self._cohorts()]
        self._join.purge(predictions_ms)
        effects += self._outbox.watermarks(predictions_ms, marks["outcomes"].at_ms)
        return effects

    def announce(self) -> list[Effect]:
        """The watermarks again, under a new owner's epoch."""
        self._outbox.announce_again()
        return self._closed()

    def _closed_panes(self) -> list[Effect]:
        until_ms = self._intake.marks["predictions"].at_ms - self.rules.grace_ms
        effects: list[Effect] = []
        for panes in self._open.close(until_ms):
            if isinstance(panes, GroupedRows):
                effects += self._outbox.rows("prediction", panes, self.rules)
            elif isinstance(panes, Stretch):
                effects += self._outbox.stretch("prediction", panes, self.rules)
            else:
                effects += self._outbox.blocks("prediction", *panes, self.rules)
        return effects

    def _cohorts(self) -> list[Effect]:
        effects: list[Effect] = []
        for kind, rows in self._join.mature(self._intake.reached_ms):
            effects += self._outbox.rows(kind, rows, self.rules)
        for group, paired in self._join.pairs(self._intake.reached_ms):
            pairs = closed([paired], [], self.rules)
            effects += self._outbox.blocks("pair", group, pairs, self.rules)
        return effects

    def _delays(self) -> list[Effect]:
        effects: list[Effect] = []
        for model_id, delays in self._join.delays(self._intake.reached_ms, self.rules.settled_ms):
            record = DelayBlock(self.partition, self.epoch, model_id, delays)
            effects += self._outbox.of_model(model_id, record)
        return effects

    # -- state

    def snapshot(self) -> list[Part]:
        """The base, written anew every time, and what is in runs and segments that never change."""
        parts = [*self._intake.parts(), *self._open.parts(), *self._join.parts()]
        parts += [*self._acceptance.parts(), *self._names.parts()]
        state = {
            **self._intake.snapshot(),
            "acceptance": self._acceptance.snapshot(),
            "names": self._names.snapshot(),
            "open": self._open.snapshot(),
            "join": self._join.snapshot(),
            "speaker": self._outbox.speaker.snapshot(),
        }
        if self.rules.has_segments:
            state["segments"] = self._segments.snapshot()
        if self._outbox.ended is not None:
            state["ended"] = list(self._outbox.ended)
        body = pack(b"1", STATE_VERSION, state)
        return [Part("base", None, lambda: body), *parts]

    @classmethod
    def restore(
        cls,
        rules: Rules,
        partition: int,
        partitions: int,
        state: Mapping[str, bytes],
        *,
        include_payload: bool = False,
    ) -> SourceStage:
        """Raises ChangedRulesError, BrokenRecordError."""
        stage = cls(rules, partition, partitions, include_payload=include_payload)
        if "state" in state:
            plain = unpack(b"1", 1, state["state"])
            stage._intake.restore_whole(plain)
            stage._open.restore_whole(plain["open"])
            stage._join = OutcomeJoin.restore_whole(rules, plain["join"])
        else:
            plain = unpack(b"1", STATE_VERSION, state["base"])
            stage._acceptance.restore(plain["acceptance"], state)
            stage._intake.restore(plain, state)
            if "names" in plain:  # since 0.2
                stage._names.restore(plain["names"], state)
            stage._open.restore(plain["open"], state)
            stage._join = OutcomeJoin.restore(stage._acceptance.merged(), plain["join"], state)
            stage._use(stage._acceptance.merged())
        stage._outbox.speaker.restore(plain["speaker"])
        if "segments" in plain:
            stage._segments.restore(plain["segments"])
        if "ended" in plain:
            stage._outbox.restore_end(plain["ended"])
        return stage


def _in_order(codes: NDArray[np.int64]) -> list[int]:
    """Those that occur, in the order in which they come first."""
    if (codes == codes[0]).all():
        return [int(codes[0])]
    distinct, first = np.unique(codes, return_index=True)
    found: list[int] = distinct[np.argsort(first)].tolist()
    return found


def _by_code(codes: NDArray[np.int64]) -> Iterator[tuple[int, NDArray[np.intp]]]:
    """Each code that occurs, with its places, ascending."""
    if (codes == codes[0]).all():
        yield int(codes[0]), np.arange(len(codes))
        return
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for start, stop in zip(starts, [*starts[1:], len(order)], strict=True):
        yield int(codes[order[start]]), order[start:stop]
