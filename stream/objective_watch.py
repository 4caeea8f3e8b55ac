"""Whether a model answers as quickly as its owner has promised: p50, p95, p99 of late.

Looked at when a slot of ten minutes is over, that is with the first prediction behind it: at the
last hour, or where that is few, at the last 2,000 answers of a day at most. An objective is missed
when more of these took longer than it allows, by more than chance; it is met again when they are
within all objectives.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from detectors.quantile_bound import beyond, quantile, surprise_of_share
from stream.panes import Ints, PaneTable
from stream.rules import HOUR_MS, LatencyRule

LATENCY = "prediction:latency_ms"
SLOT_MS = 600_000
SLOTS = HOUR_MS // SLOT_MS
MOST_SLOTS = 24 * SLOTS
ENOUGH = 2_000  # answers
_NEVER = 2**62

Slot = tuple[int, Ints, Ints]
"""Ten minutes since 1970, buckets ascending, values in them."""


@dataclass(frozen=True, slots=True)
class ObjectiveTold:
    row: int  # of the pane with which it is told
    missed: tuple[str, ...]  # worst first; none: all are met again
    is_lasting: bool = False
    since_ms: int = 0
    until_ms: int = 0
    count: int = 0
    took: dict[str, float] = field(default_factory=dict)  # p50, p95, p99
    share: float = 0.0  # that took longer than the worst one allows
    statistic: float = 0.0
    threshold: float = 0.0


@dataclass(slots=True)
class ObjectiveWatch:
    """Of one group."""

    slots: list[Slot] = field(default_factory=list)  # the last of which is not over
    is_firing: bool = False
    missed: tuple[str, ...] = ()
    ask_ms: int = 0

    def use(self, rule: LatencyRule | None) -> bool:
        """Under this rule from the next pane on; whether that ends what fires."""
        if rule is not None:
            return False
        ended, self.slots, self.is_firing = self.is_firing, [], False
        return ended

    def run(
        self,
        run: PaneTable,
        rule: LatencyRule,
        *,
        rate: float,
        minimum: int,
        ask_after_ms: int,
    ) -> list[ObjectiveTold]:
        """`rate`: looks that may tell without a reason, as a share of the predictions."""
        feature = run.features.get(LATENCY)
        if feature is None:
            return []
        slots, cells, told = (run.pane_end - 1) // SLOT_MS, feature.buckets, list[ObjectiveTold]()
        starts = np.flatnonzero(np.diff(slots, prepend=-1))
        for first, last in zip(starts, [*starts[1:], len(slots)], strict=True):
            slot = int(slots[first])
            if self.slots and slot > self.slots[-1][0]:
                told += self._look(int(first), rule, rate, minimum, ask_after_ms)
            of = (cells.pane >= first) & (cells.pane < last)
            self._add(slot, cells.key[of].astype(np.int64), cells.count[of].astype(np.int64))
        return told

    def _add(self, slot: int, keys: Ints, counts: Ints) -> None:
        if self.slots and self.slots[-1][0] == slot:
            _, known, before = self.slots.pop()
            keys, counts = np.concatenate([known, keys]), np.concatenate([before, counts])
        buckets, place = np.unique(keys, return_inverse=True)
        sums = np.zeros(len(buckets), np.int64)
        np.add.at(sums, place, counts)
        kept, count = [(slot, buckets, sums)], int(sums.sum())
        for one in reversed(self.slots):
            far = slot - one[0]
            if far >= MOST_SLOTS or (far >= SLOTS and count >= ENOUGH):
                break
            kept.append(one)
            count += int(one[2].sum())
        self.slots = kept[::-1]

    def _look(
        self, row: int, rule: LatencyRule, rate: float, minimum: int, ask_after_ms: int
    ) -> Iterator[ObjectiveTold]:
        """At what ended with the last slot."""
        over = (self.slots[-1][0] + 1) * SLOT_MS
        keys = np.concatenate([slot[1] for slot in self.slots])
        counts = np.concatenate([slot[2] for slot in self.slots])
        order = np.argsort(keys, kind="stable")
        keys, counts = keys[order], counts[order]
        total = int(counts.sum())
        if total < minimum:
            return
        found = []
        for name, share, bound in rule.objectives:
            events = int(counts[beyond(keys, bound)].sum())
            found.append((surprise_of_share(events, total, 1.0 - share), events / total, name))
        statistic, share, worst = max(found)
        looks = max(total, 1) * rate / SLOTS / len(found)
        threshold = max(-math.log(looks), math.log(100.0))
        if statistic >= threshold and not self.is_firing:
            missed = tuple(name for nats, _, name in sorted(found, reverse=True) if nats > 0.0)
            self.is_firing, self.missed, self.ask_ms = True, missed, over + ask_after_ms
            shown = {
                name: quantile(keys, counts, of)
                for name, of in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
            }
            allowed, bound = next((1.0 - s, b) for name, s, b in rule.objectives if name == worst)
            yield ObjectiveTold(
                row, missed, False, self._since(bound, allowed), over, total, shown, share,
                statistic, threshold,
            )  # fmt: skip
            return
        if self.is_firing and not any(nats > 0.0 for nats, _, _ in found):
            self.is_firing, self.missed = False, ()
            yield ObjectiveTold(row, ())
        elif self.is_firing and over >= self.ask_ms:
            self.ask_ms = _NEVER
            yield ObjectiveTold(row, self.missed, is_lasting=True)

    def _since(self, bound: float, allowed: float) -> int:
        """Start of the last slots that each missed it."""
        since = self.slots[-1][0]
        for slot, keys, counts in reversed(self.slots):
            if counts[beyond(keys, bound)].sum() <= allowed * counts.sum():
                break
            since = slot
        return since * SLOT_MS

    # -- state

    def snapshot(self) -> list[Any]:
        slots = [[slot, keys, counts] for slot, keys, counts in self.slots]
        return [slots, self.is_firing, list(self.missed), self.ask_ms]

    @classmethod
    def restore(cls, plain: Sequence[Any]) -> ObjectiveWatch:
        slots, is_firing, missed, ask_ms = plain
        kept = [(slot, np.array(keys), np.array(counts)) for slot, keys, counts in slots]
        return cls(kept, is_firing, tuple(missed), ask_ms)
