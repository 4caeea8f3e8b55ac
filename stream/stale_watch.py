"""Features that have stopped varying, whatever else they let tell.

At every 64th row of the samples a feature whose latest pane holds one value is looked at: how many
of its latest values are that one? With share p of it in the reference, n values are one and the
same with a chance of p ** n, and a run is told when p ** (n - 1), over all values that it might
have been, is no more than what the budget leaves for a look. p is bounded above, values that
depend (τ) count as n / τ, and one that is more than half of the reference is none to wonder about:
what hardly varied has not stopped.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.log_buckets import bucket_of
from stream.budget import WEIGHTS, false_alerts_per_prediction
from stream.columns import FEATURE, NUMBER, TEXT
from stream.constant import Run, latest_run
from stream.pane_features import PaneFeatures
from stream.panes import PaneTable
from stream.recent_rows import RecentRows
from stream.reference import Reference
from stream.rules import Rules
from stream.units import Measure
from stream.watched import Key, Watched
from stream.watermark import BEFORE_ALL_MS

MEASURE: Measure = "stale"
_EVERY = 64  # rows between two looks
_FEWEST = 8  # values
_USUAL = 0.5  # share of a value that is none to wonder about
_Z = 3.0  # standard errors that a share may be larger


@dataclass(frozen=True, slots=True)
class StaleTold:
    row: int
    name: str
    run: Run | None  # None: it varies again
    share: float = 0.0  # of its value in the reference, at most
    statistic: float = 0.0  # nats
    threshold: float = 0.0
    since_ms: int = 0
    reference: Reference | None = None


class StaleWatch:
    def __init__(self) -> None:
        self._rows = 0  # since the last look
        self.firing: list[Key] = []

    def use(self, rules: Rules) -> list[Key]:
        """Under these rules from the next pane on; what fired and is not watched any more."""
        ended = [] if rules.rates.enabled else self.firing
        self.firing = [key for key in self.firing if key not in ended]
        return ended

    def run(
        self,
        run: PaneTable,
        recent: RecentRows,
        watched: Mapping[Key, Watched],
        rules: Rules,
        model_id: str,
    ) -> list[StaleTold]:
        if not rules.rates.enabled or not watched:
            return []
        told: list[StaleTold] = []
        for row in self._looks(run):
            fires = {name for name, _ in self.firing}
            names = sorted(fires | _constant_in(run, row))
            window = recent.window(BEFORE_ALL_MS, int(run.pane_end[row])) if names else None
            if window is None:
                continue
            for name in names:
                found = latest_run(window, name)
                if found is None:
                    continue
                if name in fires:
                    if found.count < _FEWEST:
                        self.firing.remove((name, MEASURE))
                        told.append(StaleTold(row, name, None))
                    continue
                one = _unlikely(found, name, watched, rules, model_id)
                if one is not None:
                    self.firing.append((name, MEASURE))
                    statistic, threshold, share, reference = one
                    since_ms = found.first_end_ms - rules.pane_ms
                    told.append(
                        StaleTold(
                            row, name, found, share, statistic, threshold, since_ms, reference
                        )
                    )
        return told

    def _looks(self, run: PaneTable) -> Iterator[int]:
        if self._rows + len(run.sample) < _EVERY:
            self._rows += len(run.sample)
            return
        pane = np.searchsorted(run.pane_end, run.sample.pane_end)
        count = np.bincount(pane, minlength=len(run))
        for row, rows in enumerate(count.tolist()):
            self._rows += rows
            if self._rows >= _EVERY:
                self._rows = 0
                yield row

    def snapshot(self) -> list[Any]:
        return [self._rows, [name for name, _ in self.firing]]

    def restore(self, plain: list[Any]) -> None:
        self._rows, firing = plain
        self.firing = [(name, MEASURE) for name in firing]


def stale_share(watched: Mapping[Key, Watched], rules: Rules) -> float:
    """Of a model's budget, for each feature."""
    features = {name for name, _ in watched if name.startswith(FEATURE)}
    return WEIGHTS["stale"] / max(len(features), 1) / rules.sources


def _constant_in(run: PaneTable, row: int) -> set[str]:
    """Features of which this pane holds one value."""
    features = PaneFeatures.of(run.features, len(run))
    at = np.arange(len(features)) * len(run) + row
    whole = features.whole
    numbers, texts = whole.number[at], whole.text[at]
    one_number = (numbers > 0) & (texts == 0) & (whole.minimum[at] == whole.maximum[at])
    pane = whole.categories.pane
    categories = np.searchsorted(pane, at, "right") - np.searchsorted(pane, at)
    one_text = (texts > 0) & (numbers == 0) & (categories == 1)
    places = np.flatnonzero(one_number | one_text).tolist()
    return {name for i in places if (name := features.names[i]).startswith(FEATURE)}


def _unlikely(
    run: Run, name: str, watched: Mapping[Key, Watched], rules: Rules, model_id: str
) -> tuple[float, float, float, Reference] | None:
    """(statistic, threshold, share of the value, reference), if so long a run is not by chance."""
    of_it = [one for key, one in watched.items() if key[0] == name]
    if run.count < _FEWEST or not of_it:
        return None
    reference = of_it[0].profile.reference
    share = _share_at_most(run, name, reference)
    if share > _USUAL:
        return None
    rate = stale_share(watched, rules) * false_alerts_per_prediction(
        rules.budget_of(model_id), reference.count, reference.end_ms - reference.start_ms
    )
    tau = max(max(one.terms.tau) for one in of_it)
    statistic = (run.count - 1) / tau * -math.log(share)
    threshold = -math.log(min(rate * _EVERY, 1.0))
    return (statistic, threshold, share, reference) if statistic >= threshold else None


def _share_at_most(run: Run, name: str, reference: Reference) -> float:
    """Of its value in the reference: counted by bucket or category, or, where these say too little,
    in the row sample. 1 of what hardly varied."""
    frozen = reference.feature(name)
    if frozen is None:
        return 1.0
    few = reference.values_of(name) if run.kind == NUMBER else None
    if run.kind == TEXT:
        counts, same = frozen.categories.count, frozen.categories.key == np.uint64(run.bits)
        values = int(frozen.text[0])
    elif few is None:
        counts = frozen.buckets.count
        same = frozen.buckets.key == bucket_of(np.array([run.number]))[0]
        values = int(frozen.number[0])
    else:
        counts, same = few.counts, few.distinct == run.number
        values = int(few.counts.sum())
    if not values or 2 * int(counts.max(initial=0)) > values:
        return 1.0
    count = int(counts[same].sum())
    if run.kind == TEXT and not count and int(counts.sum()) < values:  # not all were counted
        column = reference.table.sample.columns[name]
        count, values = int((column.bits == np.uint64(run.bits)).sum()), len(column.texts()[1])
    return min((count + _Z * math.sqrt(count + 1.0) + _Z) / values, 1.0)
