"""Whether a feature is a number or a text, by the majority of its first values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

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

    def settle(self) -> bool:
        """Whether the majority of its first values decides otherwise than the first pane had."""
        self.settled = True
        was, self.numeric = self.numeric, self.numbers >= self.texts
        return was != self.numeric


class FeatureTypes:
    """Of all features of a group, in the order in which they came."""

    def __init__(self) -> None:
        self._known: dict[str, FeatureType] = {}

    def __getitem__(self, name: str) -> FeatureType:
        return self._known[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def get(self, name: str) -> FeatureType | None:
        return self._known.get(name)

    def add(self, name: str, known: FeatureType) -> None:
        self._known[name] = known

    def births(self, table: PaneTable, max_features: int) -> dict[int, list[str]]:
        """pane index -> new features whose first number or text is there; as many as there is
        room for."""
        first = [
            (int((feature.number + feature.text > 0).argmax()), name)
            for name, feature in table.features.items()
            if name not in self._known and (feature.number + feature.text).any()
        ]
        births: dict[int, list[str]] = {}
        for pane, name in sorted(first)[: max_features - len(self._known)]:
            births.setdefault(pane, []).append(name)
        return births

    def settlings(self, table: PaneTable, minimum_values: int) -> dict[int, list[str]]:
        """pane index -> features whose type is settled there: the panes before it complete the
        first values by which it is decided. A pane after the last is left to the next table."""
        settlings: dict[int, list[str]] = {}
        for name in [*self._known, *(n for n in table.features if n not in self._known)]:
            known = self._known.get(name, FeatureType(numeric=True))
            if known.settled:
                continue
            feature = table.features.get(name)
            values = np.zeros(0, np.int64) if feature is None else feature.number + feature.text
            count = known.count + np.concatenate([[0], np.cumsum(values)])
            enough = count[: len(table)] >= minimum_values
            if enough.any():
                settlings.setdefault(int(enough.argmax()), []).append(name)
        return settlings

    def count(self, run: PaneTable) -> None:
        for name, known in self._known.items():
            feature = run.features.get(name)
            if feature is not None and not known.settled:
                known.numbers += int(feature.number.sum())
                known.texts += int(feature.text.sum())

    def snapshot(self) -> list[list[Any]]:
        return [[n, t.numeric, t.numbers, t.texts, t.settled] for n, t in self._known.items()]

    def restore(self, plain: list[list[Any]]) -> None:
        self._known = {name: FeatureType(*fields) for name, *fields in plain}
