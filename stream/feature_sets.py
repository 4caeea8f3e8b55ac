"""The feature set that a prediction names (`payments@7`), and the first of another version.

Read only for models whose owner asks for it. It travels as a text measure of the panes; the first
pane with one that was never seen tells, and what drifts from then on follows from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec
import numpy as np

from stream.columns import ABSENT, TEXT, Column, text_hash, text_shown
from stream.event_columns import PredictionColumns, Shape
from stream.panes import PaneTable
from stream.rules import DAY_MS, Rules

FEATURE_SET = "prediction:feature_set"
LASTING_MS = DAY_MS  # what began later is of something else
_MOST = 64  # known at a time: more are no versions


class _Event(msgspec.Struct):
    feature_set: str | None = None


_decoder = msgspec.json.Decoder(_Event)


def with_feature_sets(
    columns: PredictionColumns, values: Sequence[bytes | None], rules: Rules
) -> PredictionColumns:
    """A measure more, for models that ask for it; `values`: the records of the batch."""
    wanted = np.array(
        [bool(rules.model(group[0]).feature_sets) for group in columns.groups], np.bool_
    )
    if not wanted.any():
        return columns
    is_asked = wanted[columns.group]
    texts = dict(columns.texts)
    bits, kind = np.zeros(len(columns), np.uint64), np.full(len(columns), ABSENT, np.uint8)
    for row in np.flatnonzero(is_asked).tolist():
        name = _decoder.decode(values[int(columns.place[row])] or b"{}").feature_set
        if name is not None:
            code = text_hash(name)
            texts[code] = text_shown(name, code)
            bits[row], kind[row] = code, TEXT
    shapes: list[Shape] = []
    for shape in columns.shapes:
        has = kind[shape.rows] == TEXT
        shapes += [shape.take(np.flatnonzero(~has))] if not has.all() else []
        if has.any():
            mine = shape.take(np.flatnonzero(has))
            cells = {**mine.columns, FEATURE_SET: Column(kind[mine.rows], bits[mine.rows])}
            shapes.append(Shape(mine.rows, {name: cells[name] for name in sorted(cells)}))
    return replace(columns, shapes=shapes, texts=texts)


@dataclass(frozen=True, slots=True)
class FeatureSetTold:
    row: int
    name: str | None  # None: it is long enough ago
    before: tuple[str, ...] = ()
    since_ms: int = 0
    count: int = 0


@dataclass(slots=True)
class FeatureSetWatch:
    known: dict[int, str] = field(default_factory=dict)  # by hash
    until_ms: int | None = None  # what fires, until then

    def run(self, run: PaneTable, pane_ms: int) -> Iterator[FeatureSetTold]:
        feature = run.features.get(FEATURE_SET)
        if feature is None and self.until_ms is None:
            return
        for row, end_ms in enumerate(run.pane_end.tolist()):
            if self.until_ms is not None and end_ms >= self.until_ms:
                self.until_ms = None
                yield FeatureSetTold(row, None)
            if feature is None:
                continue
            cells = feature.categories
            of = slice(*np.searchsorted(cells.pane, [row, row + 1]).tolist())
            keys, counts = cells.key[of].tolist(), cells.count[of].tolist()
            new = [(n, run.texts[key], key) for key, n in zip(keys, counts, strict=True)
                   if key not in self.known]  # fmt: skip
            if not new or len(self.known) >= _MOST:
                continue
            before = tuple(sorted(self.known.values()))
            self.known |= {key: name for _, name, key in new}
            if before and self.until_ms is None:
                self.until_ms = end_ms + LASTING_MS
                count, name, _ = max(new)
                yield FeatureSetTold(row, name, before, end_ms - pane_ms, count)

    @property
    def is_firing(self) -> bool:
        return self.until_ms is not None

    def snapshot(self) -> list[Any]:
        return [[[key, name] for key, name in self.known.items()], self.until_ms]

    @classmethod
    def restore(cls, plain: Sequence[Any]) -> FeatureSetWatch:
        known, until_ms = plain
        return cls({key: name for key, name in known}, until_ms)  # noqa: C416 lists
