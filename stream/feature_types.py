"""Whether a feature is a number or a text, by the majority of its first values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.columns import FEATURE, text_hash
from stream.pane_features import PaneFeatures
from stream.panes import PaneTable


@dataclass(slots=True)
class FeatureType:
    """What a feature's values are, by the majority of the first of them once that is settled."""

    numeric: bool
    numbers: int = 0
    texts: int = 0
    settled: bool = False

    @property
    def count(self) -> int:
        return self.numbers + self.texts


_SETTLED = {numeric: FeatureType(numeric, settled=True) for numeric in (False, True)}
"""What they were settled by is of no use any more, so that all are alike."""


class FeatureTypes:
    """Of all features of a group, in the order in which they came."""

    def __init__(self) -> None:
        self._known: dict[str, FeatureType] = {}
        # features that were there without a number or a text
        self._valueless: frozenset[str] = frozenset()
        self.refused = 0  # panes of features for which there was no room

    def __getitem__(self, name: str) -> FeatureType:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def get(self, name: str) -> FeatureType | None:
        return self._known.get(name)

    def add(self, name: str, *, numeric: bool, settled: bool) -> None:
        self._known[name] = _SETTLED[numeric] if settled else FeatureType(numeric)
        if name in self._valueless:
            self._valueless = (self._valueless - {name}) or frozenset()

    def settle(self, name: str) -> bool:
        """Whether the majority of its first values decides otherwise than the first pane had."""
        known = self._known.get(name)
        if known is None or known.settled:  # None: there was no room for it
            return False
        numeric = known.numbers >= known.texts
        self._known[name] = _SETTLED[numeric]
        return numeric != known.numeric

    def admit(self, table: PaneTable, max_features: int) -> PaneTable:
        """Without the features for which there is no room. It is given in (pane, hash of the name)
        order, and never taken back, so the batching of the panes does not show."""
        features = [name for name in table.features if name.startswith(FEATURE)]
        asking = [n for n in features if n not in self._known and n not in self._valueless]
        if not asking:
            return table
        of = PaneFeatures.of(table.features, len(table))
        present = dict(zip(of.names, of.counts()[2] > 0, strict=True))
        places = [(present[name], text_hash(name), name) for name in asking]
        there = sorted([(int(p.argmax()), code, name) for p, code, name in places if p.any()])
        taken = sum(name.startswith(FEATURE) for name in self._known) + len(self._valueless)
        room = max(0, max_features - taken)
        self._valueless |= {name for _, _, name in there[:room]}
        if len(there) <= room:
            return table
        refused = {name for name in asking if name not in self._valueless}
        self.refused += sum(int(is_there.sum()) for is_there, _, name in places if name in refused)
        return table.without(refused)

    def births(self, table: PaneTable) -> dict[int, list[str]]:
        """pane index -> new features whose first number or text is there."""
        if all(name in self._known for name in table.features):
            return {}
        of = PaneFeatures.of(table.features, len(table))
        numbers, texts, _ = of.counts()
        there = numbers + texts > 0
        is_there, panes = np.any(there, axis=1).tolist(), there.argmax(axis=1).tolist()
        first = [
            (pane, name)
            for pane, name, is_new in zip(panes, of.names, is_there, strict=True)
            if is_new and name not in self._known
        ]
        births: dict[int, list[str]] = {}
        for pane, name in sorted(first):
            births.setdefault(pane, []).append(name)
        return births

    @staticmethod
    def numeric_at(table: PaneTable, pane: int) -> dict[str, bool]:
        """Of each feature of the table, whether it is a number there, as far as one can tell."""
        of = PaneFeatures.of(table.features, len(table))
        numbers, texts, _ = of.counts()
        return dict(zip(of.names, (numbers[:, pane] >= texts[:, pane]).tolist(), strict=True))

    def settlings(self, table: PaneTable, minimum_values: int) -> dict[int, list[str]]:
        """pane index -> features whose type is settled there: the panes before it complete the
        first values by which it is decided. A pane after the last is left to the next table."""
        settlings: dict[int, list[str]] = {}
        names = [*self._known, *(n for n in table.features if n not in self._known)]
        open_ = [n for n in names if n not in self._known or not self._known[n].settled]
        if not open_:
            return settlings
        before = {n: self._known[n].count if n in self._known else 0 for n in open_}
        if max(before.values()) + int(table.rows.sum()) < minimum_values:
            return settlings
        of = PaneFeatures.of(table.features, len(table))
        numbers, texts, _ = of.counts()
        values = numbers + texts
        so_far = np.array([before.get(name, 0) for name in of.names], np.int64)
        enough = so_far[:, None] + values.cumsum(axis=1) - values >= minimum_values
        found = zip(np.any(enough, axis=1).tolist(), enough.argmax(axis=1).tolist(), strict=True)
        at = dict(zip(of.names, found, strict=True))
        for name, count in before.items():
            is_enough, pane = at.get(name, (count >= minimum_values, 0))  # not in this table
            if is_enough:
                settlings.setdefault(pane, []).append(name)
        return settlings

    def count(self, run: PaneTable) -> None:
        open_ = {name: known for name, known in self._known.items() if not known.settled}
        if not open_:
            return
        of = PaneFeatures.of(run.features, len(run))
        numbers, texts, _ = of.counts()
        sums = zip(of.names, numbers.sum(axis=1).tolist(), texts.sum(axis=1).tolist(), strict=True)
        for name, count, text_count in sums:
            if name in open_:
                open_[name].numbers += count
                open_[name].texts += text_count

    def snapshot(self) -> list[list[Any]]:
        return [[n, t.numeric, t.numbers, t.texts, t.settled] for n, t in self._known.items()]

    def admissions(self) -> list[Any]:
        return [sorted(self._valueless), self.refused]

    def restore(self, plain: list[list[Any]], admissions: list[Any]) -> None:
        self._known = {
            name: _SETTLED[numeric] if settled else FeatureType(numeric, numbers, texts)
            for name, numeric, numbers, texts, settled in plain
        }
        self._valueless, self.refused = frozenset(admissions[0]), admissions[1]
