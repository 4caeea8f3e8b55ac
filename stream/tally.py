"""What two roles of a model are compared by: counts of panes, over any number of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np

from detectors.log_buckets import middle_of
from stream.columns import FEATURE
from stream.pane_features import PaneFeatures
from stream.panes import PaneTable

LATENCY = "prediction:latency_ms"


@dataclass(slots=True)
class Tally:
    rows: int = 0
    numbers: Counter[str] = field(default_factory=Counter)  # by feature
    texts: Counter[str] = field(default_factory=Counter)
    latency: Counter[int] = field(default_factory=Counter)  # by logarithmic bucket

    @classmethod
    def of(cls, tables: Iterable[PaneTable], first_ms: int, last_ms: int) -> Self:
        """Of the panes that end within [first, last]."""
        made = cls()
        for table in tables:
            made._count(table, *np.searchsorted(table.pane_end, [first_ms, last_ms + 1]).tolist())
        return made

    def _count(self, table: PaneTable, low: int, high: int) -> None:
        if low == high:
            return
        self.rows += int(table.rows[low:high].sum())
        features = PaneFeatures.of(table.features, len(table))
        if not features.names:
            return
        numbers, texts, _ = (counts[:, low:high].sum(axis=1) for counts in features.counts())
        for name, n, t in zip(features.names, numbers.tolist(), texts.tolist(), strict=True):
            if name.startswith(FEATURE):
                self.numbers[name] += n
                self.texts[name] += t
        if LATENCY in features:
            of = features[LATENCY].buckets
            inside = (of.pane >= low) & (of.pane < high)
            keys, counts = of.key[inside].tolist(), of.count[inside].tolist()
            for key, count in zip(keys, counts, strict=True):
                self.latency[key] += count

    def add(self, other: Tally) -> None:
        self.rows += other.rows
        # `+=` of counters would forget what is 0 so far: a text has no numbers
        self.numbers.update(other.numbers)
        self.texts.update(other.texts)
        self.latency.update(other.latency)

    def answers(self) -> Tally:
        """How many there were and how long they took."""
        return Tally(self.rows, latency=self.latency)

    def values(self, feature: str) -> int:
        """Rows in which the feature has a value."""
        return self.numbers[feature] + self.texts[feature]

    def latency_ms(self, share: float) -> float:
        """What so large a share of the answers does not take longer than; they must be some."""
        keys = np.array(sorted(self.latency), np.int64)
        counts = np.cumsum([self.latency[key] for key in keys.tolist()])
        place = int(np.searchsorted(counts, share * counts[-1]))
        return float(middle_of(keys[place : place + 1])[0])

    def slower_than(self, latency_ms: float) -> int:
        keys = np.array([*self.latency], np.int64)
        slow = keys[middle_of(keys) > latency_ms].tolist()
        return sum(self.latency[key] for key in slow)

    def to_plain(self) -> list[Any]:
        return [self.rows, dict(self.numbers), dict(self.texts), dict(self.latency)]

    @classmethod
    def from_plain(cls, plain: list[Any]) -> Self:
        rows, *counts = plain
        return cls(rows, *map(Counter, counts))
