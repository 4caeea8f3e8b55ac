"""Stage 1: one source partition, its predictions and its outcomes.

The walk of a batch: decode (dead letters leave), judge (future, late, duplicate), add to the open
panes and hold for the join; then what the watermarks have closed leaves as blocks, and the new
watermarks are announced to every stage-2 partition.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream.acceptance import Acceptance
from stream.columns import Group, Rows
from stream.event_columns import (
    claims,
    id_hashes,
    model_hashes,
    outcome_identities,
    pane_columns,
    prediction_identities,
    truths,
)
from stream.events import Effect, Prediction, Records, ToPanes
from stream.identity import Hashes, IdMemory
from stream.numbering import Said, Speaker
from stream.open_panes import Closed, OpenPanes, closed, cut_into_blocks
from stream.outcome_join import OUTCOME_TERMS, OutcomeJoin
from stream.partitioning import partition_of
from stream.records import Decoded, decode_outcomes, decode_predictions
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack
from stream.watermark import BEFORE_ALL_MS, Watermark, late, pane_end_ms
from stream.wire import (
    Announcement,
    Block,
    DelayBlock,
    Learned,
    PaneKind,
    PaneRecord,
    encode_in_fragments,
    encode_pane_record,
)

Side = Literal["predictions", "outcomes"]
STATE_VERSION = 2  # version 1, one part of everything, is read too
_JUDGED = ("consumed", "applied", "duplicate", "late", "future", "dead_lettered", "shed")
_SENT_KEPT = 100_000  # far more than any alignment allows


class SourceStage:
    def __init__(
        self, rules: Rules, partition: int, partitions: int, *, include_payload: bool = False
    ) -> None:
        self.rules = rules
        self._acceptance = Acceptance(rules)
        self.partition = partition
        self.partitions = partitions
        self._speaker = Speaker(partition)
        self._include_payload = include_payload
        self._marks: dict[Side, Watermark] = {"predictions": Watermark(), "outcomes": Watermark()}
        self._seen: dict[Side, IdMemory] = {side: IdMemory(f"ids/{side}") for side in self._marks}
        self._judged = {side: dict.fromkeys(_JUDGED, 0) for side in self._marks}
        self._open = OpenPanes(rules)
        self._join = OutcomeJoin(rules)
        self._announced = (BEFORE_ALL_MS, BEFORE_ALL_MS)
        self._sent: deque[int] = deque(maxlen=_SENT_KEPT)  # ready times, for the alignment

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

    # -- inputs

    def predictions(self, records: Records) -> list[Effect]:
        """One fetched batch of the predictions topic."""
        decoded = decode_predictions(
            records, self._acceptance.of("predictions"), include_payload=self._include_payload
        )
        timely, before_ms = self._timely("predictions", records, decoded)
        events = [decoded.events[i] for i in timely]
        times, hashes = decoded.time_ms[timely], id_hashes(events)
        keys = hashes ^ model_hashes(events)
        until_ms = times + np.array([self._memory_ms(e.model_id) for e in events], np.int64)
        new = self._new("predictions", prediction_identities(keys, events), before_ms, until_ms)
        if len(new):
            self._apply([events[i] for i in new], times[new], hashes[new, 0], keys[new])
        return [*decoded.dead, *self._closed()]

    def outcomes(self, records: Records) -> list[Effect]:
        """One fetched batch of the outcomes topic."""
        decoded = decode_outcomes(
            records, self._acceptance.of("outcomes"), include_payload=self._include_payload
        )
        timely, before_ms = self._timely("outcomes", records, decoded)
        events = [decoded.events[i] for i in timely]
        effective = np.maximum(decoded.time_ms[timely], before_ms)
        keys = id_hashes(events) ^ model_hashes(events)
        revision = np.array([e.revision for e in events], np.int64)
        until_ms = effective + self.rules.horizon_ms + self.rules.settled_ms
        new = self._new("outcomes", outcome_identities(keys, revision), before_ms, until_ms)
        if len(new):
            self._join.add_outcomes(
                {
                    "key": np.ascontiguousarray(keys[new, 0]),
                    "check": np.ascontiguousarray(keys[new, 1]),
                    "effective": effective[new],
                    "revision": revision[new],
                    **truths([events[i] for i in new]),
                }
            )
        return [*decoded.dead, *self._closed()]

    def accept(self, side: Side, rules: Rules, announced_at: int) -> None:
        """A journaled decision: from here on the models of these rules are taken."""
        self._acceptance.accept(side, rules, announced_at)
        self._use(self._acceptance.merged())

    def _use(self, rules: Rules) -> None:
        self.rules = rules
        self._join.use(rules)

    def has_accepted(self, side: Side, announced_at: int) -> bool:
        return self._acceptance.has(side, announced_at)

    def advance(self, side: Side, watermark_ms: int) -> list[Effect]:
        """A journaled decision: idleness or a tick."""
        self._marks[side].advance(watermark_ms)
        return self._closed()

    def end_of_input(self, event_time_ms: int) -> list[Effect]:
        """Nothing later than this is to come: close every pane up to it."""
        end = int(pane_end_ms(np.array([event_time_ms]), self.rules.pane_ms)[0])
        for mark in self._marks.values():
            mark.advance(end + self.rules.grace_ms)
        return self._closed()

    def learn(self, model_id: str, maturity_ms: int | None) -> list[Effect]:
        """Stage 2 has decided the maturity of a model: its cohorts up to now leave."""
        if self._join.knows(model_id) or self.rules.maturity_of(model_id) != "auto":
            return []
        self._join.learn(model_id, maturity_ms)
        learned = Learned(self.partition, self.epoch, model_id)
        return [*self._cohorts(), *self._to_panes(model_id, learned)]

    # -- reading

    def watermark_ms(self, side: Side) -> int | None:
        at_ms = self._marks[side].at_ms
        return None if at_ms == BEFORE_ALL_MS else at_ms

    def unmerged_panes(self, merged_until_ms: int) -> int:
        """Panes sent whose ready time is beyond what stage 2 has merged."""
        self._sent = deque((r for r in self._sent if r > merged_until_ms), maxlen=_SENT_KEPT)
        return len(self._sent)

    def judged(self, side: Side) -> dict[str, int]:
        """The terms that `consumed` is made of: cheap, for every batch."""
        return dict(self._judged[side])

    def ledger(self) -> dict[str, dict[str, int]]:
        matured = self._join.matured
        outcomes = self._join.outcome_terms(self._marks["predictions"].at_ms)
        return {
            "predictions": {
                **self._judged["predictions"],
                "matured_labelled": matured["matured_labelled"],
                "matured_unlabelled": matured["matured_unlabelled"],
                "pending": self._join.pending(),
                "unjoined": matured["unjoined"],
            },
            "outcomes": {**self._judged["outcomes"], **{t: outcomes[t] for t in OUTCOME_TERMS}},
        }

    # -- predictions into panes

    def _timely(
        self, side: Side, records: Records, decoded: Decoded[Any]
    ) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
        """(indices of the events neither future nor late, the watermark each met); counts all."""
        ledger = self._judged[side]
        judged = self._marks[side].observe(decoded.time_ms, decoded.record_ms, self.rules)
        too_late = np.zeros(len(judged.future), np.bool_)
        if side == "predictions":
            too_late = late(decoded.time_ms, judged.before_ms, self.rules) & ~judged.future
        ledger["consumed"] += len(records.values)
        ledger["dead_lettered"] += len(decoded.dead)
        ledger["future"] += int(judged.future.sum())
        ledger["late"] += int(too_late.sum())
        timely = np.flatnonzero(~judged.future & ~too_late)
        return timely, judged.before_ms[timely]

    def _new(
        self, side: Side, ids: Hashes, before_ms: NDArray[np.int64], until_ms: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Indices of the ids not applied before; counts both."""
        new = self._seen[side].apply(ids, before_ms, until_ms)
        self._judged[side]["duplicate"] += int((~new).sum())
        self._judged[side]["applied"] += int(new.sum())
        return np.flatnonzero(new)

    def _memory_ms(self, model_id: str) -> int:
        """How long an id is remembered. With `auto` it is the horizon for ever: what counts as a
        duplicate must not depend on the moment this partition learns the maturity."""
        maturity = self.rules.maturity_of(model_id)
        held_ms = self.rules.horizon_ms if maturity == "auto" else maturity or 0
        return max(self.rules.pane_ms + self.rules.grace_ms, held_ms)

    def _apply(
        self,
        events: list[Prediction],
        times: NDArray[np.int64],
        hashes: NDArray[np.uint64],
        keys: Hashes,
    ) -> None:
        """Into the open panes of their groups, and held for the join."""
        end = pane_end_ms(times, self.rules.pane_ms)
        members: dict[Group, list[int]] = {}
        for i, e in enumerate(events):
            members.setdefault((e.model_id, e.model_version, e.role, ""), []).append(i)
        codes = np.zeros(len(events), np.int64)
        for group, places in members.items():
            codes[places] = self._join.code_of(group)
            texts: dict[int, str] = {}
            columns = pane_columns([events[i] for i in places], texts)
            self._open.add(group, Rows(end[places], hashes[places], columns, texts))
        self._join.hold(
            {
                "key": np.ascontiguousarray(keys[:, 0]),
                "check": np.ascontiguousarray(keys[:, 1]),
                "group": codes,
                "time": times,
                **claims(events),
            }
        )

    # -- what leaves

    def _closed(self) -> list[Effect]:
        predictions_ms = self._marks["predictions"].at_ms
        self._seen["predictions"].purge(predictions_ms)
        self._seen["outcomes"].purge(self._marks["outcomes"].at_ms)
        effects = [*self._closed_panes(), *self._delays(), *self._cohorts()]
        self._join.purge(predictions_ms)
        now = (predictions_ms, self._marks["outcomes"].at_ms)
        if now != self._announced:
            self._announced = now
            record = Announcement(self.partition, self.partitions, self.epoch, *now)
            value = encode_pane_record(record)
            effects += [ToPanes(q, self._speaker.say(q, value)) for q in range(self.partitions)]
        return effects

    def announce(self) -> list[Effect]:
        """The watermarks again, under a new owner's epoch."""
        self._announced = (BEFORE_ALL_MS - 1, BEFORE_ALL_MS - 1)
        return self._closed()

    def _closed_panes(self) -> list[Effect]:
        until_ms = self._marks["predictions"].at_ms - self.rules.grace_ms
        effects: list[Effect] = []
        for group, panes in self._open.close(until_ms):
            effects += self._blocks("prediction", group, panes)
        return effects

    def _cohorts(self) -> list[Effect]:
        reached_ms = min(mark.at_ms for mark in self._marks.values())
        effects: list[Effect] = []
        for group, rows in self._join.mature(reached_ms):
            effects += self._blocks("cohort", group, closed([rows], [], self.rules))
        return effects

    def _delays(self) -> list[Effect]:
        reached_ms = min(mark.at_ms for mark in self._marks.values())
        effects: list[Effect] = []
        for model_id, delays in self._join.delays(reached_ms, self.rules.settled_ms):
            record = DelayBlock(self.partition, self.epoch, model_id, delays)
            effects += self._to_panes(model_id, record)
        return effects

    def _blocks(self, kind: PaneKind, group: Group, panes: Closed) -> list[Effect]:
        effects: list[Effect] = []
        for part in cut_into_blocks(panes, self.rules):
            block = Block(self.partition, self.epoch, kind, group, part.rows, part.table)
            effects += self._to_panes(group[0], block)
            if kind == "prediction":
                self._sent.extend((part.ends() + self.rules.grace_ms).tolist())
        return effects

    def _to_panes(self, model_id: str, record: PaneRecord) -> list[ToPanes]:
        q = partition_of(model_id.encode(), self.partitions)
        return [ToPanes(q, self._speaker.say(q, value)) for value in encode_in_fragments(record)]

    # -- state

    def snapshot(self) -> list[Part]:
        """The base, written anew every time, and what is in runs and segments that never change."""
        parts = [part for ids in self._seen.values() for part in ids.parts()]
        parts += [*self._open.parts(), *self._join.parts(), *self._acceptance.parts()]
        state = {
            "watermarks": {side: mark.at_ms for side, mark in self._marks.items()},
            "acceptance": self._acceptance.snapshot(),
            "seen": {side: ids.snapshot() for side, ids in self._seen.items()},
            "judged": self._judged,
            "open": self._open.snapshot(),
            "join": self._join.snapshot(),
            "speaker": self._speaker.snapshot(),
        }
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
            stage._restore_whole(unpack(b"1", 1, state["state"]))
            return stage
        plain = unpack(b"1", STATE_VERSION, state["base"])
        stage._restore_counts(plain)
        stage._acceptance.restore(plain["acceptance"], state)
        stage.rules = stage._acceptance.merged()
        for side, ids in stage._seen.items():
            ids.restore(plain["seen"][side], state)
        stage._open.restore(plain["open"], state)
        stage._join = OutcomeJoin.restore(stage.rules, plain["join"], state)
        return stage

    def _restore_whole(self, plain: Mapping[str, Any]) -> None:
        """State of version 1."""
        self._restore_counts(plain)
        for side, ids in self._seen.items():
            ids.restore_whole(plain["seen"][side])
        self._open.restore_whole(plain["open"])
        self._join = OutcomeJoin.restore_whole(self.rules, plain["join"])

    def _restore_counts(self, plain: Mapping[str, Any]) -> None:
        for side, mark in self._marks.items():
            mark.advance(plain["watermarks"][side])
        self._judged = plain["judged"]
        self._speaker.restore(plain["speaker"])
