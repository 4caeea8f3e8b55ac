"""Looks for a change inside a reference before it is sealed.

What has been gathered is summed in chunks (`chunk_sums`), in the terms of the first provisional
reference that knows a feature: ranks are ranks in whatever order they were learned. What is counted
in many columns (bins of numbers, faults that are rare) is in fewer chunks, so that all of it
together costs no more than the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.dependence import FEWEST_SCANNED, Scan, scan_reference
from detectors.jump import Course, clearest, course_of
from stream.batches import FEWEST, shares_of_all, taus_of
from stream.chunk_sums import ChunkSums
from stream.columns import FEATURE, Rows
from stream.pane_evidence import PaneReader
from stream.panes import Ints, PaneTable, summarise
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import ChangeWithin, Reference
from stream.rules import Rules
from stream.unit_reading import Together
from stream.unit_tilts import baseline_of
from stream.units import Unit, is_fault
from stream.watched import Key

_CHUNKS, _COARSE = 128, 48
_LEVEL = 1e-3  # chance of refusing a reference in which nothing has changed, all series together
_FEW = 4 * FEWEST  # in a fourth of them at least batches are measured
_MOST_COARSE = 512  # columns; of what comes behind, means and nulls are scanned all the same

_Scanned = tuple[Unit, bool, Profile]
"""With whether its feature is numeric, and what it is read by."""


class ReferenceScan:
    def __init__(self) -> None:
        self._frames: list[Profile] = []
        self._fine: list[_Scanned] = []
        self._coarse: list[_Scanned] = []
        self._together = (Together([]), Together([]))
        self._fine_sums, self._coarse_sums = ChunkSums(_CHUNKS, 3), ChunkSums(_COARSE, 2)

    def begin(self, frame: Profile, units: Sequence[tuple[Unit, bool]]) -> None:
        """From the next pane on, those that were not known before. `units`: each with whether its
        feature is numeric."""
        known = {(unit.name, unit.measure) for unit, _, _ in self._all()}
        new = [(u, numeric, frame) for u, numeric in units if (u.name, u.measure) not in known]
        if not new:
            return
        self._frames.append(frame)
        room = _MOST_COARSE - sum(unit.columns for unit, _, _ in self._coarse)
        for one in new:
            unit, numeric, _ = one
            if not _is_coarse(unit, numeric=numeric):
                self._fine.append(one)
            elif unit.columns <= room:
                self._coarse.append(one)
                room -= unit.columns
        self._lay_out()

    def _lay_out(self) -> None:
        fine, coarse = (
            Together([(unit, frame, numeric) for unit, numeric, frame in of])
            for of in (self._fine, self._coarse)
        )
        self._together = fine, coarse

    @property
    def frames(self) -> list[Reference]:
        return [frame.reference for frame in self._frames]

    def add(self, run: PaneTable, pane_ms: int, max_categories: int) -> None:
        """Panes and their rows."""
        if not self._frames:
            return
        read = PaneReader(run, max_categories)
        begins_ms = run.pane_end - pane_ms
        fine, coarse = (read.read(of) for of in self._together)
        self._fine_sums.add(run.rows, begins_ms, np.stack([fine.x, fine.n, fine.xx]))
        self._coarse_sums.add(run.rows, begins_ms, np.stack([coarse.x, coarse.n]))

    def taus(self, *, whole: bool) -> dict[Key, tuple[float, ...]]:
        """How much the values of each unit depend, of each of its columns: in all of them, or, as
        `Batches` has it, in the latter half: what it begins with is not how it goes on."""
        found: dict[Key, tuple[float, ...]] = {}
        for scanned, sums in self._parts():
            columns = sum(unit.columns for unit, _, _ in scanned)
            if not columns or not len(sums):
                continue
            x, n, xx = _three(sums.all(columns)[:, 0 if whole else len(sums) // 2 :])
            n = shares_of_all(n, _texts(scanned))
            tau, first = taus_of(x, n, xx).tolist(), 0
            for unit, _, _ in scanned:
                found[unit.name, unit.measure] = tuple(tau[first : first + unit.columns])
                first += unit.columns
        return found

    @property
    def is_of_few(self) -> bool:
        """Panes, in which batches may not be enough by themselves."""
        columns = sum(unit.columns for unit, _, _ in self._fine)
        n = self._fine_sums.all(columns)[1]
        return FEWEST <= int(n.any(axis=1).sum()) < _FEW

    def find(self) -> dict[Key, ChangeWithin]:
        """All that has changed, the clearest first."""
        columns = sum(unit.columns for unit, _, _ in self._all())
        found: dict[Key, tuple[float, ChangeWithin]] = {}
        for unit, scan, since_ms in self._scans(_LEVEL / max(columns, 1)):
            key = unit.name, unit.measure
            if scan.found and (key not in found or scan.statistic > found[key][0]):
                found[key] = scan.statistic, ChangeWithin(unit.name, unit.measure, since_ms)
        order = sorted(found, key=lambda key: -found[key][0])
        return {key: found[key][1] for key in order}

    def course(
        self, key: Key, run: PaneTable, recent: RecentRows, rules: Rules, from_ms: int
    ) -> Course | None:
        """Of a unit from the first value of its frame to the end of this run, which comes next;
        None: it is not looked at. `recent`: the latest rows; while all are among them, those of
        the frame are known value by value. `from_ms`: behind that only, if it is not 0."""
        for scanned, sums in self._parts():
            first = 0
            for unit, numeric, frame in scanned:
                if (unit.name, unit.measure) == key:
                    asked = Together([(unit, frame, numeric)])
                    mine = sums.of(slice(first, first + unit.columns))
                    read = PaneReader(run, rules.max_categories).read(asked)
                    kinds = [read.x, read.n, read.xx][: 3 if sums is self._fine_sums else 2]
                    mine.add(run.rows, run.pane_end - rules.pane_ms, np.stack(kinds))
                    later = _three(mine.all(unit.columns))
                    if from_ms:
                        since = np.array([mine.since_ms(chunk) for chunk in range(len(mine))])
                        return _course(unit, *(sums[since >= from_ms] for sums in later))
                    of = frame.reference
                    is_at_hand = of.count + mine.rows <= rules.window_rows
                    rows = recent.window(of.start_ms, of.end_ms) if is_at_hand else None
                    begun = _begun(unit, frame, rows, rules, numeric=numeric)
                    return _course(unit, *map(np.vstack, zip(begun, later, strict=True)))
                first += unit.columns
        return None

    def _scans(self, level: float) -> Iterator[tuple[Unit, Scan, int]]:
        """Of what has come in enough chunks."""
        for scanned, sums in self._parts():
            units = [unit for unit, _, _ in scanned for _ in range(unit.columns)]
            if not units or not len(sums):
                continue
            x, n, xx = _three(sums.all(len(units)))
            enough = (n > 0).sum(axis=0) >= FEWEST_SCANNED
            for c in np.flatnonzero(enough).tolist():
                scan = scan_reference(n[:, c], x[:, c], xx[:, c], level=level)
                yield units[c], scan, sums.since_ms(scan.row)

    def _parts(self) -> tuple[tuple[list[_Scanned], ChunkSums], ...]:
        return (self._fine, self._fine_sums), (self._coarse, self._coarse_sums)

    def _all(self) -> list[_Scanned]:
        return [*self._fine, *self._coarse]

    # -- state

    def snapshot(self) -> dict[str, Any] | None:
        if not self._frames:
            return None
        place = {id(frame): i for i, frame in enumerate(self._frames)}
        units = [
            [
                [u.name, u.measure, u.columns, u.scale, numeric, place[id(of)]]
                for u, numeric, of in part
            ]
            for part in (self._fine, self._coarse)
        ]
        return {
            "frames": [[frame.reference.id, frame.fewest] for frame in self._frames],
            "units": units,
            "fine": self._fine_sums.snapshot(),
            "coarse": self._coarse_sums.snapshot(),
        }

    def restore(self, profiles: Mapping[str, Profile], plain: Any) -> None:
        """A frame knows as much of its reference as it did, whatever the rules have become."""
        self._frames = [profiles[name].as_of(fewest) for name, fewest in plain["frames"]]
        self._fine, self._coarse = (
            [(Unit(*unit), numeric, self._frames[at]) for *unit, numeric, at in part]
            for part in plain["units"]
        )
        self._lay_out()
        self._fine_sums.restore(3, plain["fine"])
        self._coarse_sums.restore(2, plain["coarse"])


def _begun(
    unit: Unit, frame: Profile, rows: Rows | None, rules: Rules, *, numeric: bool
) -> tuple[Ints, Ints, Ints]:
    """What a frame is of: pane by pane if its rows are at hand, else as one."""
    if rows is not None and len(rows) == frame.reference.count:
        if unit.name.startswith(FEATURE):
            columns = {name: of for name, of in rows.columns.items() if name == unit.name}
            rows = replace(rows, columns=columns)
        panes = summarise(rows, rules.pane_rows, rules.max_categories)
        read = PaneReader(panes, rules.max_categories).read(Together([(unit, frame, numeric)]))
        return read.x, read.n, read.xx
    begun = baseline_of(unit, frame, numeric=numeric)
    is_known = not unit.is_mean  # of a mean the squares are not
    n = begun.n[None, :] * is_known
    squares = np.full(n.shape, begun.xx) if unit.measure == "shift" else begun.x[None, :]
    return begun.x[None, :], n, squares


def _course(unit: Unit, x: Ints, n: Ints, xx: Ints) -> Course:
    column = clearest(n, x) if unit.columns > 1 and not unit.is_mean else 0
    return course_of(n[:, column], x[:, column], xx[:, column])


def _texts(scanned: Sequence[_Scanned]) -> Iterator[tuple[Ints, int]]:
    """Columns of the categories of each feature, and one that counts all rows."""
    first, at = 0, {}
    for unit, _, _ in scanned:
        at[unit.name, unit.measure] = first + np.arange(unit.columns)
        first += unit.columns
    for unit, numeric, _ in scanned:
        if unit.measure == "shape" and not numeric and (unit.name, "absent") in at:
            yield at[unit.name, "shape"], int(at[unit.name, "absent"][0])


def _three(sums: NDArray[np.int64]) -> tuple[Ints, Ints, Ints]:
    """x, n, xx: of counts each value is 0 or 1."""
    return sums[0], sums[1], sums[-1] if len(sums) > 2 else sums[0]


def _is_coarse(unit: Unit, *, numeric: bool) -> bool:
    if is_fault(unit.measure):
        return unit.measure not in {"null", "absent"}
    return unit.measure == "shape" and numeric
