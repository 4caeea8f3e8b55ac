"""Which records of a source partition are applied; the others are counted, and not kept.

In this order: dead (they are not here any more), future, late, shed, duplicate.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.event_columns import id_hashes
from stream.events import Records
from stream.identity import Hashes, IdMemory
from stream.records import Decoded
from stream.rules import Rules
from stream.shedding import CAPS, Cap, Shedding, Side, Wish
from stream.snapshot import Part
from stream.watermark import Watermark, late

_JUDGED = ("consumed", "applied", "duplicate", "late", "future", "dead_lettered", "shed")


@dataclass(frozen=True, slots=True)
class Timely:
    """Events that are neither future, late nor shed; all parallel."""

    events: list[Any]
    time_ms: NDArray[np.int64]
    before_ms: NDArray[np.int64]  # the watermark each met
    hashes: Hashes  # of the ids of the predictions
    may_wait: NDArray[np.bool_]  # whether there is room to wait for an outcome


class Intake:
    def __init__(self, rules: Rules) -> None:
        self.rules = rules
        self.marks: dict[Side, Watermark] = {"predictions": Watermark(), "outcomes": Watermark()}
        self.seen: dict[Side, IdMemory] = {side: IdMemory(f"ids/{side}") for side in self.marks}
        self.judged = {side: dict.fromkeys(_JUDGED, 0) for side in self.marks}
        self.shedding = Shedding()

    def timely(self, side: Side, records: Records, decoded: Decoded[Any]) -> Timely:
        ledger = self.judged[side]
        judged = self.marks[side].observe(decoded.time_ms, decoded.record_ms, self.rules)
        too_late = np.zeros(len(judged.future), np.bool_)
        if side == "predictions":
            too_late = late(decoded.time_ms, judged.before_ms, self.rules) & ~judged.future
        ledger["consumed"] += len(records.values)
        ledger["dead_lettered"] += len(decoded.dead)
        ledger["future"] += int(judged.future.sum())
        ledger["late"] += int(too_late.sum())
        timely = np.flatnonzero(~judged.future & ~too_late)
        hashes = id_hashes([decoded.events[i] for i in timely])
        may_wait = np.ones(len(timely), np.bool_)
        if self.shedding.is_shedding(side):
            offsets = decoded.offsets[timely]
            waiting: Cap = (side, "pending" if side == "predictions" else "outcomes")
            kept = self.shedding.kept((side, "ids"), offsets, hashes[:, 0])
            may_wait = self.shedding.kept(waiting, offsets, hashes[:, 0])
            if side == "outcomes":  # there is nothing to do with one but to wait
                kept &= may_wait
            ledger["shed"] += int((~kept).sum())
            timely, hashes, may_wait = timely[kept], hashes[kept], may_wait[kept]
            self.shedding.passed(side, records.offsets)
        events = [decoded.events[i] for i in timely]
        before_ms = judged.before_ms[timely]
        return Timely(events, decoded.time_ms[timely], before_ms, hashes, may_wait)

    def new(
        self, side: Side, ids: Hashes, before_ms: NDArray[np.int64], until_ms: NDArray[np.int64]
    ) -> NDArray[np.intp]:
        """Indices of the ids not applied before; counts both. `until_ms`: how long to remember."""
        new = self.seen[side].apply(ids, before_ms, until_ms)
        self.judged[side]["duplicate"] += int((~new).sum())
        self.judged[side]["applied"] += int(new.sum())
        return np.flatnonzero(new)

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
