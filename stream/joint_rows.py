"""Rows of the panes' samples as scores of contrasts between features."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detectors import native
from detectors.joint_scores import JointScores
from detectors.rank_scores import SCORE_UNIT
from stream.columns import FEATURE, Rows
from stream.panes import Ints, PaneTable
from stream.profile import Profile
from stream.rules import HOUR_MS

FEATURES = 64  # of a model, at most
_SHOWN = 3  # pairs, to a person


@dataclass(frozen=True, slots=True)
class Cells:
    """Rows in the order of their panes, (rows, contrasts), and where the panes begin."""

    of_rows: NDArray[np.int64]
    cuts: Ints  # (panes + 1,)

    def rows(self, first: int, end: int) -> NDArray[np.int64]:
        """Those of panes first to end."""
        low, high = self.cuts[[first, end]].tolist()
        return self.of_rows[low:high]

    def counts(self, first: int, end: int) -> Ints:
        """(panes, contrasts): rows; each counts once in every contrast."""
        return np.repeat(
            np.diff(self.cuts[first : end + 1])[:, None], self.of_rows.shape[1], axis=1
        )


class JointRows:
    """The features of a reference, and the rows from which contrasts have their ranks: those of
    its sample, and others that join."""

    def __init__(
        self, law: Profile, numeric: Mapping[str, bool], *, pairs: int, per_pane: int
    ) -> None:
        """`numeric`: of at least 2 features that the reference knows (`known_features`);
        `per_pane`: rows of a pane that count, those with the smallest hashes."""
        self._law, self._numeric, self._per_pane = law, dict(numeric), per_pane
        self.names = tuple(self._numeric)
        # with a season it gives a scale to learn on: its rows do not say of which hour they are
        sample = self._scores(law.reference.table.sample, with_hours=True)
        self.joint = JointScores(self.names, sample, pairs=pairs)

    @property
    def contrasts(self) -> list[tuple[str, ...]]:
        return self.joint.contrasts

    @property
    def known(self) -> Ints:
        """Rows behind the ranks of each contrast."""
        known: Ints = self.joint.counts.sum(axis=1, dtype=np.int64)
        return known

    def read(self, run: PaneTable) -> Cells:
        panes, sample = len(run), run.sample
        pane = np.searchsorted(run.pane_end, sample.pane_end).astype(np.int64)
        place = np.arange(len(pane)) - np.searchsorted(pane, pane)  # within its pane, by hash
        few = np.flatnonzero(place < self._per_pane)
        cells = self.joint.cells(self._scores(sample.take(few)))
        return Cells(cells, np.searchsorted(pane[few], np.arange(panes + 1)))

    def sums(self, cells: Cells, first: int, end: int, *, power: int = 1) -> Ints:
        """(panes, contrasts): of the scores or their squares, by the ranks there are now."""
        scores = self.joint.scores_of(cells.rows(first, end)) ** power
        upto = np.zeros((len(scores) + 1, scores.shape[1]), np.int64)
        np.cumsum(scores, axis=0, out=upto[1:])
        cuts = cells.cuts[first : end + 1] - cells.cuts[first]
        sums: Ints = upto[cuts[1:]] - upto[cuts[:-1]]
        return sums

    def _scores(self, rows: Rows, *, with_hours: bool = False) -> Ints:
        """(rows, features), less the mean of their hour: 0 where there is no value, or none of the
        type of the feature."""
        scores = np.zeros((len(rows), len(self.names)), np.int64)
        ranked = self._ranked(rows, scores) if native.IN_USE else set[str]()
        for place, (name, is_numeric) in enumerate(self._numeric.items()):
            cells = rows.columns.get(name)
            if cells is None:
                continue
            if is_numeric:
                season = self._law.season(name)
                if name in ranked and (season is None or with_hours):
                    continue
                at, values = cells.numbers()
                if name not in ranked:
                    numbers = self._law.number(name)
                    assert numbers is not None
                    scores[at, place] = numbers.scores_of(values)
                if season is not None and not with_hours:
                    hour = (rows.pane_end[at] - 1) // HOUR_MS % len(season.mean)
                    scores[at, place] -= season.mean[hour]
            else:
                at, hashes = cells.texts()
                texts = self._law.text(name)
                assert texts is not None
                scores[at, place] = texts.scores_of(hashes)
        return scores

    def _ranked(self, rows: Rows, scores: Ints) -> set[str]:
        """The features whose scores are there now, by the extension: numbers told apart by
        buckets."""
        slots = self._law.slots
        having = [
            (name, place)
            for place, (name, is_numeric) in enumerate(self._numeric.items())
            if is_numeric and name in slots and name in rows.columns
        ]
        if not having:
            return set()
        names = [name for name, _ in having]
        slot = np.array([slots[name] for name in names], np.int64)
        to = np.array([place for _, place in having], np.int64)
        self._law.ranks.score_rows(slot, to, [rows.columns[name] for name in names], scores)
        return set(names)

    def correlations(self, contrast: int, rows: Rows | None) -> tuple[dict[str, float], ...]:
        """Before and now, of normal scores, of the pairs of a contrast that moved most."""
        names = self.contrasts[contrast]
        pairs = [pair for pair in self.contrasts if set(pair) <= set(names) and len(pair) == 2]
        if self._law.reference.seasons:
            means = self.joint.means_of_products()
            before = {called(pair): means[pair] for pair in pairs}
        else:
            before = self._correlations(pairs, self._scores(self._law.reference.table.sample))
        if rows is None or not len(rows):
            return before, {}
        now = self._correlations(pairs, self._scores(rows))
        most = sorted(now, key=lambda name: -abs(now[name] - before[name]))[:_SHOWN]
        return {name: before[name] for name in most}, {name: now[name] for name in most}

    def _correlations(self, pairs: Iterable[tuple[str, ...]], scores: Ints) -> dict[str, float]:
        z = scores / SCORE_UNIT
        z = z - z.mean(axis=0)  # a feature may have moved by itself
        spread = np.sqrt((z**2).mean(axis=0))
        z = np.divide(z, spread, out=np.zeros_like(z), where=spread > 0.0)
        at = {name: place for place, name in enumerate(self.names)}
        return {
            called((one, other)): float(f"{(z[:, at[one]] * z[:, at[other]]).mean():.3g}")
            for one, other in pairs
        }


def called(names: Iterable[str]) -> str:
    """For people, and in the scope of an alert."""
    return " × ".join(name.removeprefix(FEATURE) for name in names)


def known_features(law: Profile, numeric: Mapping[str, bool]) -> dict[str, bool]:
    """Those with a distribution in the reference, by name; of many the smallest hashes. Empty where
    there is nothing to go together."""
    known = {
        name: is_numeric
        for name, is_numeric in numeric.items()
        if name.startswith(FEATURE)
        if (law.number(name) if is_numeric else law.text(name)) is not None
    }
    few = sorted(known, key=lambda name: hashlib.blake2b(name.encode()).digest())[:FEATURES]
    if len(few) < 2:
        return {}
    return {name: known[name] for name in sorted(few)}
