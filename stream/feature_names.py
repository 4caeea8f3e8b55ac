"""Which features of a group a source partition takes: the first so many names, by offset.

As with lateness only the partition's own prefix counts, so neither batches nor other partitions
show. A name that is taken is not displaced: a flood of new names cannot blind what is watched of
those that were there before. A group begins anew when nothing of it can be open any more: this
bounds what is open; which of the names are watched for good is stage 2's to say (`FeatureTypes`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.columns import FEATURE, Column, Group
from stream.rules import Rules
from stream.snapshot import Part, pack, unpack

Alike = tuple[NDArray[np.intp], Mapping[str, Column]]
"""Rows of a batch that have the same columns, ascending; the columns, sorted by name."""
Times = NDArray[np.int64]
_NOTHING: frozenset[tuple[str, ...]] = frozenset()
_PART = "features"
_VERSION = 1


class FeatureNames:
    def __init__(self, rules: Rules) -> None:
        self._limit = rules.max_features
        self._silence_ms = rules.pane_ms + rules.grace_ms
        self._taken: dict[Group, set[str]] = {}
        self._whole: dict[Group, set[tuple[str, ...]]] = {}  # columns of which none is refused
        self._last_ms: dict[Group, int] = {}  # the watermark behind the last record of each
        self._version = 0  # of what is taken
        self.refused = 0  # values of names for which there was no room

    def take(
        self, group: Group, parts: Sequence[Alike], before_ms: Times, after_ms: Times
    ) -> list[Alike]:
        """All rows of a group in a batch, without the features that are refused.

        `before_ms`, `after_ms`: the partition's watermark before and behind each row of the batch,
        rising. O(rows log rows + columns)."""
        rows = np.sort(np.concatenate([rows for rows, _ in parts]))
        last_ms = self._last_ms.get(group, int(before_ms[rows[0]]))
        gaps_ms = before_ms[rows] - np.concatenate([[last_ms], after_ms[rows[:-1]]])
        self._last_ms[group] = int(after_ms[rows[-1]])
        kept: list[Alike] = []
        for number, session in enumerate(_cut(parts, rows[gaps_ms > self._silence_ms])):
            if number:
                self._forget(group)
            kept += self._of_session(group, session)
        return kept

    def going_on(
        self,
        groups: Sequence[Group],
        code: NDArray[np.int64],
        parts: Sequence[tuple[NDArray[np.intp], tuple[str, ...]]],
        before_ms: Times,
        after_ms: Times,
    ) -> NDArray[np.bool_]:
        """By code: the groups whose rows of this batch are all taken, so that `take` need not be
        asked: they bring no new name, or begin with few enough. `parts`: rows, and the names of
        their columns."""
        if (
            len(groups) == 1
            and len(parts) == 1
            and self._goes_on(groups[0], parts[0][1], before_ms, after_ms)
        ):
            return np.ones(1, np.bool_)
        going = np.ones(len(groups), np.bool_)
        fresh: dict[int, tuple[str, ...]] = {}  # code -> the columns of a group that begins
        for rows, names in parts:
            has_room = sum(name.startswith(FEATURE) for name in names) <= self._limit
            for one in distinct(code[rows]).tolist():
                is_new = groups[one] not in self._last_ms
                going[one] &= (
                    has_room and one not in fresh
                    if is_new
                    else names in self._whole.get(groups[one], _NOTHING)
                )
                if is_new:
                    fresh[one] = names
        order = np.argsort(code, kind="stable")
        codes = code[order]
        starts = np.flatnonzero(np.diff(codes, prepend=-1))
        said_ms = np.empty(len(order), np.int64)
        said_ms[1:] = after_ms[order[:-1]]
        present = codes[starts].tolist()
        said_ms[starts] = [
            self._last_ms.get(groups[one], first_ms)
            for one, first_ms in zip(present, before_ms[order[starts]].tolist(), strict=True)
        ]
        is_cut = np.logical_or.reduceat(before_ms[order] - said_ms > self._silence_ms, starts)
        going[codes[starts[is_cut]]] = False
        lasts = after_ms[order[np.append(starts[1:], len(order)) - 1]].tolist()
        for one, last_ms in zip(present, lasts, strict=True):
            if going[one]:
                self._last_ms[groups[one]] = last_ms
        for one, names in fresh.items():
            if going[one]:
                self._taken[groups[one]] = {n for n in names if n.startswith(FEATURE)}
                self._whole[groups[one]] = {names}
                self._version += bool(self._taken[groups[one]])
        return going

    def _goes_on(
        self, group: Group, names: tuple[str, ...], before_ms: Times, after_ms: Times
    ) -> bool:
        """As `going_on`, of all rows of a batch, which are of one group that is known."""
        last_ms = self._last_ms.get(group)
        if last_ms is None or names not in self._whole.get(group, _NOTHING):
            return False
        gaps_ms = before_ms[1:] - after_ms[:-1]
        longest_ms = max(int(gaps_ms.max(initial=0)), int(before_ms[0]) - last_ms)
        if longest_ms > self._silence_ms:
            return False
        self._last_ms[group] = int(after_ms[-1])
        return True

    def purge(self, watermark_ms: int) -> None:
        """Forget groups that begin anew with their next record, whenever that comes."""
        since_ms = watermark_ms - self._silence_ms
        for group in [g for g, last_ms in self._last_ms.items() if last_ms < since_ms]:
            del self._last_ms[group]
            self._forget(group)

    def _forget(self, group: Group) -> None:
        self._whole.pop(group, None)
        if self._taken.pop(group, None) is not None:
            self._version += 1

    def _of_session(self, group: Group, parts: Sequence[Alike]) -> Iterator[Alike]:
        taken = self._taken.setdefault(group, set())
        before = len(taken)
        for rows, columns in sorted(parts, key=lambda part: int(part[0][0])):
            new = [name for name in columns if name.startswith(FEATURE) and name not in taken]
            room = self._limit - len(taken)
            taken.update(new[:room])
            refused = {*new[room:]}
            self.refused += len(rows) * len(refused)
            if not refused:
                self._whole.setdefault(group, set()).add(tuple(columns))
            yield rows, _without(refused, columns)
        self._version += len(taken) > before

    # -- state

    def snapshot(self) -> dict[str, Any]:
        last = [[list(group), at_ms] for group, at_ms in self._last_ms.items()]
        return {"last": last, "refused": self.refused, "version": self._version}

    def parts(self) -> list[Part]:
        """The names: they rarely change."""
        names = [[list(group), sorted(taken)] for group, taken in self._taken.items()]
        return [Part(_PART, self._version, partial(pack, b"1", _VERSION, names))] if names else []

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self.refused, self._version = plain["refused"], plain["version"]
        self._last_ms = {(m, v, r, s): at_ms for (m, v, r, s), at_ms in plain["last"]}
        names = unpack(b"1", _VERSION, state[_PART]) if _PART in state else []
        self._taken = {(m, v, r, s): set(taken) for (m, v, r, s), taken in names}


def _without(refused: set[str], columns: Mapping[str, Column]) -> Mapping[str, Column]:
    return {n: c for n, c in columns.items() if n not in refused} if refused else columns


def _cut(parts: Sequence[Alike], begins: NDArray[np.intp]) -> list[list[Alike]]:
    """The rows before the first of these, those from each of them on."""
    if not len(begins):
        return [[*parts]]
    sessions: list[list[Alike]] = [[] for _ in range(len(begins) + 1)]
    for rows, columns in parts:
        number = np.searchsorted(begins, rows, "right")
        for session in distinct(number).tolist():
            inside = np.flatnonzero(number == session)
            cells = {name: column.take(inside) for name, column in columns.items()}
            sessions[session].append((rows[inside], cells))
    return sessions
