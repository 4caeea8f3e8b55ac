"""Stage 1: one source partition, its predictions and its outcomes.

The walk of a batch: decode (dead letters leave), judge (future, late, duplicate), add to the open
panes and hold for the join; then what the watermarks have closed leaves as blocks, and the new
watermarks are announced to every stage-2 partition.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from stream.columns import Column, Group, Rows, column, concatenate, feature_columns, text_hash
from stream.events import Effect, Outcome, Prediction, Records, ToPanes
from stream.identity import MODEL, VERSION, Hashes, IdMemory, hash_id, hash_ids
from stream.judgement import HAS_LABEL, HAS_SCORE, HAS_VALUE, actual_flags, label_text
from stream.outcome_join import OUTCOME_TERMS, OutcomeJoin
from stream.panes import PaneTable, cut_at, merge, summarise
from stream.partitioning import partition_of
from stream.records import Decoded, decode_outcomes, decode_predictions
from stream.rules import Rules
from stream.snapshot import pack, unpack
from stream.watermark import BEFORE_ALL_MS, Watermark, late, pane_end_ms
from stream.wire import (
    Announcement,
    Block,
    DelayBlock,
    Learned,
    PaneKind,
    PaneRecord,
    encode_pane_record,
    rows_from_plain,
    rows_to_plain,
    table_from_plain,
    table_to_plain,
)

Side = Literal["predictions", "outcomes"]
STATE_VERSION = 1
_JUDGED = ("consumed", "applied", "duplicate", "late", "future", "dead_lettered", "shed")
_COMPACT_ROWS = 65_536  # open rows of a group beyond which they are summed before their pane closes
_SENT_KEPT = 100_000  # far more than any alignment allows
_BLOCK_ROWS = 4_096  # rows of one block: far below a broker's record limit


class OpenPanes:
    """What a group has in panes that are not closed yet: rows, and summaries of many rows."""

    def __init__(self) -> None:
        self.rows: list[Rows] = []
        self.tables: list[PaneTable] = []


class SourceStage:
    def __init__(
        self, rules: Rules, partition: int, partitions: int, *, include_payload: bool = False
    ) -> None:
        self.rules = rules
        self.partition = partition
        self.partitions = partitions
        self.epoch = 0
        self._include_payload = include_payload
        self._marks: dict[Side, Watermark] = {"predictions": Watermark(), "outcomes": Watermark()}
        self._seen: dict[Side, IdMemory] = {"predictions": IdMemory(), "outcomes": IdMemory()}
        self._judged = {side: dict.fromkeys(_JUDGED, 0) for side in self._marks}
        self._open: dict[Group, OpenPanes] = {}
        self._join = OutcomeJoin(rules)
        self._announced = (BEFORE_ALL_MS, BEFORE_ALL_MS)
        self._sent_ends: list[int] = []  # ready times of panes sent, for the alignment

    # -- inputs

    def predictions(self, records: Records) -> list[Effect]:
        rules, ledger = self.rules, self._judged["predictions"]
        decoded = decode_predictions(records, rules, include_payload=self._include_payload)
        new, before = self._timely("predictions", records, decoded)
        ids, model_hash = self._prediction_ids([decoded.events[i] for i in new])
        times = decoded.time_ms[new]
        memory = np.array([self._memory_ms(decoded.events[i].model_id) for i in new], np.int64)
        fresh = self._seen["predictions"].apply(ids, before, times + memory)
        ledger["duplicate"] += int((~fresh).sum())
        ledger["applied"] += int(fresh.sum())
        events = [decoded.events[i] for i in new[fresh]]
        if events:
            self._apply(events, times[fresh], model_hash[fresh])
        return [*decoded.dead, *self._closed()]

    def outcomes(self, records: Records) -> list[Effect]:
        rules, ledger = self.rules, self._judged["outcomes"]
        decoded = decode_outcomes(records, rules, include_payload=self._include_payload)
        new, before = self._timely("outcomes", records, decoded)
        events = [decoded.events[i] for i in new]
        effective = np.maximum(decoded.time_ms[new], before)
        keys = hash_ids(e.prediction_id for e in events) ^ _per_model(events)
        revision = np.array([e.revision for e in events], np.int64)
        ids = keys.copy()
        ids[:, 0] += revision.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        remembered = rules.horizon_ms + rules.settled_ms
        fresh = self._seen["outcomes"].apply(ids, before, effective + remembered)
        ledger["duplicate"] += int((~fresh).sum())
        ledger["applied"] += int(fresh.sum())
        if fresh.any():
            self._join.add_outcomes(
                {
                    "key": np.ascontiguousarray(keys[fresh, 0]),
                    "check": np.ascontiguousarray(keys[fresh, 1]),
                    "effective": effective[fresh],
                    "revision": revision[fresh],
                    **_truth([e for e, keep in zip(events, fresh, strict=True) if keep]),
                }
            )
        return [*decoded.dead, *self._closed()]

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
        if model_id in self._join.maturity_ms or self.rules.maturity_of(model_id) != "auto":
            return []
        self._join.learn(model_id, maturity_ms)
        learned = self._to_panes(model_id, Learned(self.partition, self.epoch, model_id))
        return [*self._cohorts(), learned]

    # -- reading

    def watermark_ms(self, side: Side) -> int | None:
        at_ms = self._marks[side].at_ms
        return None if at_ms == BEFORE_ALL_MS else at_ms

    def unmerged_panes(self, merged_until_ms: int) -> int:
        """Panes sent whose ready time is beyond what stage 2 has merged."""
        self._sent_ends = [ready for ready in self._sent_ends if ready > merged_until_ms]
        return len(self._sent_ends)

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

    def _memory_ms(self, model_id: str) -> int:
        """How long an id is remembered. With `auto` it is the horizon for ever: what counts as a
        duplicate must not depend on the moment this partition learns the maturity."""
        maturity = self.rules.maturity_of(model_id)
        held_ms = self.rules.horizon_ms if maturity == "auto" else maturity or 0
        return max(self.rules.pane_ms + self.rules.grace_ms, held_ms)

    @staticmethod
    def _prediction_ids(events: list[Prediction]) -> tuple[Hashes, Hashes]:
        """(identities, join keys)."""
        keys = hash_ids(e.prediction_id for e in events) ^ _per_model(events)
        parts = {(e.model_version, e.role) for e in events}
        made = {part: hash_id(f"{len(part[0])}:{part[0]}{part[1]}", VERSION) for part in parts}
        kinds = [made[e.model_version, e.role] for e in events]
        return (keys ^ np.array(kinds) if kinds else keys), keys

    def _apply(self, events: list[Prediction], times: NDArray[np.int64], keys: Hashes) -> None:
        end = pane_end_ms(times, self.rules.pane_ms)
        hashes = np.ascontiguousarray((keys ^ _per_model(events))[:, 0])
        rows_of: dict[Group, list[int]] = {}
        for i, e in enumerate(events):
            rows_of.setdefault((e.model_id, e.model_version, e.role, ""), []).append(i)
        codes = np.zeros(len(events), np.int64)
        for group, members in rows_of.items():
            index = np.array(members)
            codes[index] = self._join.code_of(group)
            of_group = [events[i] for i in members] if len(rows_of) > 1 else events
            texts: dict[int, str] = {}
            columns = feature_columns([e.features for e in of_group], "feature:", texts)
            columns |= _said(of_group, texts)
            opened = self._open.setdefault(group, OpenPanes())
            opened.rows.append(Rows(end[index], hashes[index], columns, texts))
            if sum(map(len, opened.rows)) > _COMPACT_ROWS:
                opened.tables.append(self._summarised(concatenate(opened.rows)))
                opened.rows = []
        self._join.hold(
            {
                "key": np.ascontiguousarray(keys[:, 0]),
                "check": np.ascontiguousarray(keys[:, 1]),
                "hash": hashes,
                "group": codes,
                "time": times,
                **_claim(events),
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
            effects += [ToPanes(q, value) for q in range(self.partitions)]
        return effects

    def announce(self) -> list[Effect]:
        """The watermarks again, under a new owner's epoch."""
        self._announced = (BEFORE_ALL_MS - 1, BEFORE_ALL_MS - 1)
        return self._closed()

    def _closed_panes(self) -> list[Effect]:
        until_ms = self._marks["predictions"].at_ms - self.rules.grace_ms
        effects: list[Effect] = []
        for group, opened in self._open.items():
            due, opened.rows = cut_at(opened.rows, until_ms)
            closed, opened.tables = cut_at(opened.tables, until_ms)
            if not due and not closed:
                continue
            effects += self._blocks("prediction", group, due, closed)
        self._open = {g: o for g, o in self._open.items() if o.rows or o.tables}
        return effects

    def _cohorts(self) -> list[Effect]:
        reached_ms = min(mark.at_ms for mark in self._marks.values())
        effects: list[Effect] = []
        for group, rows in self._join.mature(reached_ms):
            effects += self._blocks("cohort", group, [rows], [])
        return effects

    def _delays(self) -> list[Effect]:
        reached_ms = min(mark.at_ms for mark in self._marks.values())
        return [
            self._to_panes(model_id, DelayBlock(self.partition, self.epoch, model_id, delays))
            for model_id, delays in self._join.delays(reached_ms, self.rules.settled_ms)
        ]

    def _summarised(self, rows: Rows) -> PaneTable:
        return summarise(rows, self.rules.pane_rows, self.rules.max_categories)

    def _blocks(
        self, kind: PaneKind, group: Group, rows: list[Rows], tables: list[PaneTable]
    ) -> list[Effect]:
        """Panes as blocks, pane ends rising. A pane of at most k rows travels as its rows; in
        which form a pane travels depends on the pane alone, never on how it was batched."""
        sparse: Rows | None = concatenate(rows) if rows else None
        if sparse is not None:
            ends, place, count = np.unique(sparse.pane_end, return_inverse=True, return_counts=True)
            dense = count > self.rules.pane_rows
            for table in tables:
                dense |= np.isin(ends, table.pane_end)
            crowded = dense[place]
            if crowded.any():
                tables = [*tables, self._summarised(sparse.take(np.flatnonzero(crowded)))]
                sparse = sparse.take(np.flatnonzero(~crowded))
        whole = merge(tables, self.rules.pane_rows, self.rules.max_categories) if tables else None
        return self._cut(kind, group, sparse, whole)

    def _cut(
        self, kind: PaneKind, group: Group, rows: Rows | None, table: PaneTable | None
    ) -> list[Effect]:
        ends = [rows.pane_end] if rows is not None else []
        ends += [table.pane_end] if table is not None else []
        all_ends, count = np.unique(np.concatenate(ends), return_counts=True)
        grace_ms = self.rules.grace_ms
        if kind == "prediction":
            self._sent_ends = [*self._sent_ends, *(all_ends + grace_ms).tolist()][-_SENT_KEPT:]
        weight = count.copy()  # a summary weighs about as much as its sample
        if table is not None:
            weight[np.isin(all_ends, table.pane_end)] += self.rules.pane_rows
        part = np.cumsum(weight) // _BLOCK_ROWS
        effects: list[Effect] = []
        for number in np.unique(part):
            first, last = all_ends[part == number][[0, -1]]
            effects.append(
                self._to_panes(
                    group[0],
                    Block(
                        self.partition,
                        self.epoch,
                        kind,
                        group,
                        None if rows is None else rows.between(first, last),
                        None if table is None else table.between(first, last),
                    ),
                )
            )
        return effects

    def _to_panes(self, model_id: str, record: PaneRecord) -> ToPanes:
        partition = partition_of(model_id.encode(), self.partitions)
        return ToPanes(partition, encode_pane_record(record))

    # -- state

    def snapshot(self) -> bytes:
        open_panes = [
            [list(g), [rows_to_plain(r) for r in o.rows], [table_to_plain(t) for t in o.tables]]
            for g, o in self._open.items()
        ]
        state = {
            "watermarks": {side: mark.at_ms for side, mark in self._marks.items()},
            "seen": {side: ids.snapshot() for side, ids in self._seen.items()},
            "judged": self._judged,
            "open": open_panes,
            "join": self._join.snapshot(),
        }
        return pack(b"1", STATE_VERSION, state)

    @classmethod
    def restore(
        cls,
        rules: Rules,
        partition: int,
        partitions: int,
        state: bytes,
        *,
        include_payload: bool = False,
    ) -> SourceStage:
        plain = unpack(b"1", STATE_VERSION, state)
        stage = cls(rules, partition, partitions, include_payload=include_payload)
        for side in stage._marks:
            stage._marks[side].advance(plain["watermarks"][side])
            stage._seen[side].restore(plain["seen"][side])
        stage._judged = plain["judged"]
        for group, rows, tables in plain["open"]:
            opened = stage._open[tuple(group)] = OpenPanes()
            opened.rows = [rows_from_plain(r) for r in rows]
            opened.tables = [table_from_plain(t) for t in tables]
        stage._join = OutcomeJoin.restore(rules, plain["join"])
        return stage


def _per_model(events: list[Prediction] | list[Outcome]) -> Hashes:
    ids = [e.model_id for e in events]
    made = {model_id: hash_id(model_id, MODEL) for model_id in set(ids)}
    return np.array([made[model_id] for model_id in ids], np.uint64).reshape(-1, 2)


def _said(events: list[Prediction], texts: dict[int, str]) -> dict[str, Column]:
    """What the predictions say, as measures; a measure that none of them has is left out."""
    said = [e.prediction for e in events]
    values: dict[str, list[Any]] = {
        "prediction:label": [None if p.label is None else label_text(p.label) for p in said],
        "prediction:latency_ms": [e.latency_ms for e in events],
        "prediction:score": [p.score for p in said],
        "prediction:value": [p.value for p in said],
    }
    columns = {}
    for name, cells in values.items():
        if any(cell is not None for cell in cells):
            made = column(cells, texts)
            columns[name] = Column(np.where(made.kind == 1, 0, made.kind), made.bits)
    return columns


def _claim(events: list[Prediction]) -> dict[str, NDArray[Any]]:
    """The prediction as the join needs it."""
    said = [e.prediction for e in events]
    has = [
        (0 if p.label is None else HAS_LABEL)
        | (0 if p.score is None else HAS_SCORE)
        | (0 if p.value is None else HAS_VALUE)
        for p in said
    ]
    return {
        "has": np.array(has, np.uint8),
        "label": np.array([_label_hash(p.label) for p in said], np.uint64),
        "score": np.array([p.score or 0.0 for p in said], np.float64),
        "value": np.array([p.value or 0.0 for p in said], np.float64),
    }


def _truth(events: list[Outcome]) -> dict[str, NDArray[Any]]:
    return {
        "retracted": np.array([e.retracted for e in events], np.bool_),
        "has": np.array([actual_flags(e.actual) for e in events], np.uint8),
        "label": np.array([_label_hash(e.actual.label) for e in events], np.uint64),
        "value": np.array([e.actual.value or 0.0 for e in events], np.float64),
    }


def _label_hash(label: Any) -> int:
    return 0 if label is None else text_hash(label_text(label))
