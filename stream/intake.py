"""Which records of a source partition are applied; the others are counted, and not kept.

In this order: dead (they are not here any more), future, late, shed, duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream import native
from stream.event_columns import EventColumns
from stream.events import Records
from stream.identity import Hashes, IdMemory
from stream.rules import Rules
from stream.shedding import CAPS, Cap, Shedding, Side, Wish
from stream.snapshot import Part
from stream.watermark import NO_TIMESTAMP, Watermark, late

_JUDGED = ("consumed", "applied", "duplicate", "late", "future", "dead_lettered", "shed")


@dataclass(frozen=True, slots=True)
class Timely:
    """Rows of the batch that are neither future, late nor shed; the others are parallel to it."""

    rows: NDArray[np.intp]
    before_ms: NDArray[np.int64]  # the watermark each met
    may_wait: NDArray[np.bool_]  # whether there is room to wait for an outcome


class Intake:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.marks: dict[Side, Watermark] = {"predictions": Watermark(), "outcomes": Watermark()}
        self.seen: dict[Side, IdMemory] = {side: IdMemory(f"ids/{side}") for side in self.marks}
        self.judged = {side: dict.fromkeys(_JUDGED, 0) for side in self.marks}
        self.shedding = Shedding()

    def timely(self, side: Side, records: Records, columns: EventColumns, dead: int) -> Timely:
        """`columns` are of the records that can be used, all but `dead` of them."""
        ledger = self.judged[side]
        record_ms = _timestamps(records)
        if len(columns.place) < len(record_ms):
            record_ms = record_ms[columns.place]
        judged = self.marks[side].observe(columns.time_ms, record_ms, self.rules)
        untimely = judged.future
        future = count = int(np.count_nonzero(untimely))
        if side == "predictions":
            untimely = untimely | late(columns.time_ms, judged.before_ms, self.rules)
            count = int(np.count_nonzero(untimely))
        ledger["consumed"] += len(records.values)
        ledger["dead_lettered"] += dead
        ledger["future"] += future
        ledger["late"] += count - future
        timely = np.flatnonzero(~untimely) if count else np.arange(len(untimely))
        may_wait = np.ones(len(timely), np.bool_)
        if self.shedding.is_shedding(side):
            offsets = np.array(records.offsets, np.int64)[columns.place[timely]]
            hashes = columns.hashes[timely, 0]
            waiting: Cap = (side, "pending" if side == "predictions" else "outcomes")
            kept = self.shedding.kept((side, "ids"), offsets, hashes)
            may_wait = self.shedding.kept(waiting, offsets, hashes)
            if side == "outcomes":  # there is nothing to do with one but to wait
                kept &= may_wait
            ledger["shed"] += int((~kept).sum())
            timely, may_wait = timely[kept], may_wait[kept]
            self.shedding.passed(side, records.offsets)
        before_ms = judged.before_ms
        if len(timely) < len(before_ms):
            before_ms = before_ms[timely]
        return Timely(timely, before_ms, may_wait)

    def new(
        self, side: Side, ids: Hashes, before_ms: NDArray[np.int64], until_ms: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Indices of the ids not applied before; counts both. `until_ms`: how long to remember."""
        new = self.seen[side].apply(ids, before_ms, until_ms)
        applied = np.flatnonzero(new)
        self.judged[side]["duplicate"] += len(new) - len(applied)
        self.judged[side]["applied"] += len(applied)
        return applied

    def wishes(self, pending: int, waiting: int) -> list[Wish]:
        """How many predictions and outcomes wait -> the levels of caps that are wanted now."""
        sizes: dict[Cap, tuple[int, int]] = {
            ("predictions", "pending"): (pending, self.rules.max_pending),
            ("outcomes", "outcomes"): (waiting, self.rules.max_outcomes),
            ("predictions", "ids"): (len(self.seen["predictions"]), self.rules.max_ids),
            ("outcomes", "ids"): (len(self.seen["outcomes"]), self.rules.max_ids),
        }
        wishes = [self.shedding.wish(cap, *sizes[cap]) for cap in CAPS]
        return [wish for wish in wishes if wish is not None]

    def purge(self) -> None:
        for side, ids in self.seen.items():
            ids.purge(self.marks[side].at_ms)

    @property
    def reached_ms(self) -> int:
        """What both watermarks have passed."""
        return min(mark.at_ms for mark in self.marks.values())

    # -- state

    def parts(self) -> list[Part]:
        return [part for ids in self.seen.values() for part in ids.parts()]

    def snapshot(self) -> dict[str, Any]:
        return {
            "watermarks": {side: mark.at_ms for side, mark in self.marks.items()},
            "seen": {side: ids.snapshot() for side, ids in self.seen.items()},
            "judged": self.judged,
            "shedding": self.shedding.snapshot(),
        }

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self._restore_counts(plain)
        self.shedding.restore(plain["shedding"])
        for side, ids in self.seen.items():
            ids.restore(plain["seen"][side], state)

    def restore_whole(self, plain: Mapping[str, Any]) -> None:
        """State of version 1."""
        self._restore_counts(plain)
        for side, ids in self.seen.items():
            ids.restore_whole(plain["seen"][side])

    def _restore_counts(self, plain: Mapping[str, Any]) -> None:
        for side, mark in self.marks.items():
            mark.advance(plain["watermarks"][side])
        self.judged = plain["judged"]


def _timestamps(records: Records) -> NDArray[np.int64]:
    given = records.timestamps_ms
    if native.IN_USE:
        listed = given if type(given) is list else [*given]
        return np.frombuffer(native.EXTENSION.integers(listed, NO_TIMESTAMP), np.int64)
    try:
        return np.fromiter(given, np.int64, len(given))
    except TypeError:  # some have none
        return np.array([NO_TIMESTAMP if t is None else t for t in given], np.int64)
