"""Outcomes that wait for their predictions, or for having been of use: one source partition.

What has become of one is a mark beside its row: a candidate of a prediction judged, the one that
counted, done with. An outcome that no prediction, held or to come, can need is counted and done.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.native_meetings import Marks as Met
from stream.native_meetings import marked
from stream.rules import Rules
from stream.run import Columns, Keys, Mask, Run
from stream.snapshot import Part
from stream.sorted_runs import Found, SortedRuns
from stream.watermark import pane_end_ms

CANDIDATE, COUNTED, DONE = 1, 2, 4  # marks
DECIDED = ("joined", "superseded", "retracted")
TERMS = (*DECIDED, "orphan_waiting", "orphan_expired")
WAITING: Columns = {
    "key": np.zeros(0, np.uint64),
    "check": np.zeros(0, np.uint64),
    "effective": np.zeros(0, np.int64),
    "revision": np.zeros(0, np.int64),
    "retracted": np.zeros(0, np.bool_),
    "has": np.zeros(0, np.uint8),
    "label": np.zeros(0, np.uint64),
    "value": np.zeros(0, np.float64),
}
_PURGE_AT_LEAST = 10_000
Marks = NDArray[np.uint8]
Span = tuple[int, int]
"""First and last effective time of a run."""


class WaitingOutcomes:
    def __init__(self, rules: Rules) -> None:
        self._rules = rules
        self._rows: SortedRuns[Span] = SortedRuns(
            "outcomes",
            WAITING,
            dead=lambda run: (run.marks_or_zeros() & DONE) != 0,
            facts=lambda rows: (int(rows["effective"].min()), int(rows["effective"].max())),
        )
        self._count = 0
        self._purge_at = _PURGE_AT_LEAST
        self._finished = dict.fromkeys(TERMS, 0)
        self._decided = dict.fromkeys(DECIDED, 0)  # of rows that are not done

    def __len__(self) -> int:
        return self._count

    @property
    def runs(self) -> SortedRuns[Span]:
        return self._rows

    def add(self, outcomes: Columns) -> None:
        self._rows.append(outcomes)
        self._count += len(outcomes["key"])

    def find(self, keys: Keys) -> Found:
        found = self._rows.find(keys)
        marks = self._rows.marks_of(found.place)
        return found.where((marks & DONE) == 0) if marks.any() else found

    def mark(self, candidates: Found, counted: Found) -> None:
        each = self._each_once(candidates)
        self._decide(each, -1)
        self._rows.set_marks(candidates.place, CANDIDATE)
        self._rows.set_marks(counted.place, COUNTED)
        self._decide(each, 1)

    def mark_met(self, marks: Met) -> None:
        """The same, of what the extension found."""
        for run, (rows, bits) in zip(self._rows.runs, marks, strict=True):
            if bits:
                for term, more in zip(DECIDED, marked(run, rows, bits), strict=True):
                    self._decided[term] += more

    def _each_once(self, found: Found) -> Found:
        """The same rows, none twice."""
        places = np.sort(self.places(found))
        if not (places[1:] == places[:-1]).any():
            return found
        _, first = np.unique(self.places(found), return_index=True)
        once = np.zeros(len(found.index), np.bool_)
        once[first] = True
        return found.where(once)

    def _decide(self, found: Found, sign: int) -> None:
        """Count these rows in the terms that their marks say."""
        marks = self._rows.marks_of(found.place)
        if marks.any():
            for term, count in _decided(marks, found.rows["retracted"]).items():
                self._decided[term] += sign * count

    def keys_in_panes(self, after_ms: int, until_ms: int) -> Keys:
        """Of outcomes, not retracted, whose pane ends in (after, until]: each once, sorted.

        Touches only runs with an effective time among these.
        """
        pane_ms = self._rules.pane_ms
        keys = [np.zeros(0, np.uint64)]
        for run in self._rows.runs:
            first_ms, last_ms = run.facts
            if first_ms < until_ms and last_ms >= after_ms:
                end = pane_end_ms(run.columns["effective"], pane_ms)
                inside = (end > after_ms) & (end <= until_ms) & ~run.columns["retracted"]
                keys.append(run.columns["key"][inside])
        return distinct(np.concatenate(keys))

    # -- what has become of them

    def purge(self, predictions_ms: int, is_held: Callable[[Keys], Mask]) -> None:
        """Count and drop what no prediction can need: those that are held (`is_held`, by key), nor
        one that comes at this watermark. Done when they have become half as many again."""
        if self._count < self._purge_at:
            return
        for run in list(self._rows.runs):
            if run.facts[0] + self._rules.settled_ms <= predictions_ms:
                self._purge(run, predictions_ms, is_held)
        self._purge_at = max(_PURGE_AT_LEAST, self._count + self._count // 2)

    def _purge(self, run: Run[Span], predictions_ms: int, is_held: Callable[[Keys], Mask]) -> None:
        done_before = (run.marks_or_zeros() & DONE) != 0
        rows = np.flatnonzero(self._beyond_meeting(run.columns, predictions_ms) & ~done_before)
        rows = rows[~is_held(run.columns["key"][rows])]
        counts = self._counted(run.take(rows), run.marks_or_zeros()[rows], predictions_ms)
        for term, count in counts.items():
            self._finished[term] += count
        for term in DECIDED:
            self._decided[term] -= counts[term]
        self._count -= len(rows)
        run.mark(rows, DONE)
        if 2 * (int(done_before.sum()) + len(rows)) > len(run):
            self._rows.rewrite(run)

    def _beyond_meeting(self, rows: Columns, predictions_ms: int) -> Mask:
        """No prediction that is still to come can belong to these outcomes."""
        end = pane_end_ms(rows["effective"], self._rules.pane_ms)
        beyond: Mask = end + self._rules.settled_ms <= predictions_ms
        return beyond

    def _counted(self, rows: Columns, marks: Marks, predictions_ms: int) -> dict[str, int]:
        orphan = (marks & (COUNTED | CANDIDATE)) == 0
        waiting = orphan & ~self._beyond_meeting(rows, predictions_ms)
        return {
            **_decided(marks, rows["retracted"]),
            "orphan_waiting": int(waiting.sum()),
            "orphan_expired": int((orphan & ~waiting).sum()),
        }

    def terms_at_hand(self) -> dict[str, int]:
        """The terms without looking at what waits, which is `undecided`: whether it joins or is an
        orphan shows when its prediction matures, or cannot come any more. O(1)."""
        decided = {term: self._finished[term] + count for term, count in self._decided.items()}
        return {
            **decided,
            "orphan_expired": self._finished["orphan_expired"],
            "undecided": self._count - sum(self._decided.values()),
        }

    def terms(self, predictions_ms: int, also: Marks) -> dict[str, int]:
        """How many applied outcomes are in each term; `also`: marks of all rows that are as if set,
        in the order of `places`."""
        terms, start = dict(self._finished), 0
        for run in self._rows.runs:
            marks = run.marks_or_zeros() | also[start : start + len(run)]
            start += len(run)
            rows = np.flatnonzero((marks & DONE) == 0)
            counts = self._counted(run.take(rows), marks[rows], predictions_ms)
            terms = {term: count + counts[term] for term, count in terms.items()}
        return terms

    def places(self, found: Found) -> NDArray[np.intp]:
        """One number for each row."""
        starts = np.cumsum([0, *map(len, self._rows.runs)])
        places: NDArray[np.intp] = starts[found.place[0]] + found.place[1]
        return places

    # -- state

    def parts(self) -> list[Part]:
        return self._rows.parts()

    def snapshot(self) -> dict[str, Any]:
        return {
            "runs": self._rows.snapshot(),
            "purge_at": self._purge_at,
            "finished": self._finished,
        }

    def restore(self, plain: Mapping[str, Any], state: Mapping[str, bytes]) -> None:
        self._rows.restore(plain["runs"], state)
        self._purge_at = plain["purge_at"]
        self._finished = plain["finished"]
        self._recount()

    def _recount(self) -> None:
        self._count, self._decided = 0, dict.fromkeys(DECIDED, 0)
        for run in self._rows.runs:
            left = (run.marks_or_zeros() & DONE) == 0
            self._count += int(left.sum())
            marks, retracted = run.marks_or_zeros()[left], run.columns["retracted"][left]
            for term, count in _decided(marks, retracted).items():
                self._decided[term] += count

    def restore_whole(self, rows: Columns, finished: dict[str, int]) -> None:
        """From state of version 1."""
        self._rows.restore_whole({name: rows[name] for name in WAITING}, rows["marks"])
        self._finished = finished
        self._recount()


def _decided(marks: Marks, retracted: Mask) -> dict[str, int]:
    counted, candidate = (marks & COUNTED) != 0, (marks & CANDIDATE) != 0
    return {
        "joined": int((counted & ~retracted).sum()),
        "superseded": int((candidate & ~counted).sum()),
        "retracted": int((counted & retracted).sum()),
    }
