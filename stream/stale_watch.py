"""Features that have stopped varying, whatever else they let tell.

    varies --a run too long for chance--> stuck --its share is as in the reference--> varies
                                            +--a run of another value--> stuck at that

At every 64th row of the samples a feature whose latest pane holds one value is looked at: how many
of its latest values are that one? With share p of it in the reference, n values are one and the
same with a chance of p ** n, and a run is told when p ** (n - 1), over all values that it might
have been, is no more than what the budget leaves for a look. p is bounded above, values that
depend (τ) count as n / τ, and one that is more than half of the reference is none to wonder about:
what hardly varied has not stopped.

It varies again when, among the sampled values that came since, the share of the one is surely no
more above that in the reference than the floor allows: asked first after `alerts.resolve_values` of
them and at each doubling. So it is when its longest run is none to wonder about by what is known of
the feature by then. As long as there are no values it stays stuck.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from detectors.run_length import FEWEST
from stream.columns import FEATURE, NUMBER, TEXT
from stream.constant import Run, latest_run, usual_of
from stream.firing import Firing, Patience, Standing, Sums
from stream.pane_features import PaneFeatures
from stream.panes import WHOLE, Ints, PaneTable
from stream.profile import Profile
from stream.recent_rows import RecentRows
from stream.reference import Reference, Runs
from stream.rules import Rules
from stream.stale_terms import EVERY, MEASURE, Terms, stale_share, standing, terms_of
from stream.usual_runs import UsualRuns, are_usual, is_usual
from stream.watched import Key, Watched
from stream.watermark import BEFORE_ALL_MS


@dataclass(frozen=True, slots=True)
class StaleTold:
    row: int
    name: str
    run: Run | None = None  # None: it varies again, or has been stuck for long
    lasting: bool = False
    share: float = 0.0  # of its value in the reference, at most
    statistic: float = 0.0  # nats
    threshold: float = 0.0
    since_ms: int = 0
    profile: Profile | None = None


@dataclass(slots=True)
class Stuck:
    """A feature that was told, and at which value."""

    kind: int  # of cell
    bits: int
    longest: int  # values in a row, as far as is known
    firing: Firing

    def count(self, table: PaneTable, name: str) -> tuple[Ints, Ints]:
        """Sampled values of each pane: those that are this one, and all."""
        panes, column = len(table), table.sample.columns.get(name)
        if column is None:
            return np.zeros(panes, np.int64), np.zeros(panes, np.int64)
        pane = np.searchsorted(table.pane_end, table.sample.pane_end)
        having = (column.kind == NUMBER) | (column.kind == TEXT)
        same = having & (column.kind == self.kind) & (column.bits == np.uint64(self.bits))
        of_it, of_any = (np.bincount(pane[one], minlength=panes) for one in (same, having))
        return of_it, of_any


_SIDES: tuple[Literal["left", "right"], ...] = ("left", "right")
_Expected = tuple[str, float, int, int]
"""Id of the reference, floor, kind and bits of the cells"""


@dataclass(slots=True)
class _Panes:
    """A run of panes, and what they are compared with."""

    table: PaneTable
    watched: Mapping[Key, Watched]
    rules: Rules
    model_id: str
    runs: Mapping[str, Runs]  # that are usual
    share: float | None = None  # of the budget; None: nobody has asked yet

    @property
    def start_ms(self) -> Ints:
        return self.table.pane_end - self.rules.pane_ms

    def terms(self, name: str) -> Terms | None:
        if self.share is None:
            self.share = stale_share(self.watched, self.rules)
        return terms_of(name, self.watched, self.share, self.rules, self.model_id)

    def value(self, row: int, name: str, limit: int) -> tuple[int, int] | None:
        """The (kind, bits) of the sampled cells of this pane, which holds one value, as far as
        they are in a window of rows with hashes below this limit; None: there are too few."""
        sample = self.table.sample
        column = sample.columns.get(name)
        if column is None:
            return None
        end_ms = self.table.pane_end[row]
        pane = slice(*(int(np.searchsorted(sample.pane_end, end_ms, s)) for s in _SIDES))
        kind = column.kind[pane]
        inside = True if limit == WHOLE else sample.hash[pane] < np.uint64(limit)
        having = np.flatnonzero(((kind == NUMBER) | (kind == TEXT)) & inside)
        if len(having) < FEWEST:
            return None
        return int(kind[having[-1]]), int(column.bits[pane][having[-1]])


class StaleWatch:
    def __init__(self) -> None:
        self._rows = 0  # since the last look
        self._expected: dict[str, _Expected] = {}  # of what is always so; forgotten, asked again
        self._usual = UsualRuns()
        self._stuck: dict[str, Stuck] = {}

    @property
    def firing(self) -> list[Key]:
        return [(name, MEASURE) for name in self._stuck]

    def use(self, rules: Rules) -> list[Key]:
        """Under these rules from the next pane on; what fired and is not watched any more."""
        if rules.rates.enabled:
            return []
        ended, self._stuck = self.firing, {}
        return ended

    def run(
        self,
        run: PaneTable,
        recent: RecentRows,
        watched: Mapping[Key, Watched],
        rules: Rules,
        model_id: str,
        *,
        law: Reference | None,
        is_gathering: bool,
    ) -> list[StaleTold]:
        if not rules.rates.enabled or not watched:
            return []
        known: Mapping[str, Runs] = {} if law is None else law.runs
        follows = is_gathering or bool(known)
        if not follows:
            self._usual = UsualRuns()
        panes, told, first = _Panes(run, watched, rules, model_id, known), [], 0
        for row in self._looks(run):
            told += self._follow(panes, first, row + 1)
            done = {one.name for one in told if one.row == row}
            names = sorted(_constant_in(run, row) - done)
            if names and not follows:
                limit = recent.least_limit()
                names = [name for name in names if not self._is_expected(panes, row, name, limit)]
            end_ms = int(run.pane_end[row])
            window = recent.window(BEFORE_ALL_MS, end_ms) if names else None
            runs: dict[str, Run] = {}
            if window is not None:
                found = ((name, latest_run(window, name)) for name in names)
                runs = {name: of for name, of in found if of is not None}
            if follows:
                self._usual.count(int(run.rows[first : row + 1].sum()))
                loose = {name: of for name, of in runs.items() if name not in self._stuck}
                self._usual.look(end_ms, loose, None if is_gathering else known)
            told += [one for name, of in runs.items() for one in self._look(panes, row, name, of)]
            first = row + 1
        if follows:
            self._usual.count(int(run.rows[first:].sum()))
        told += self._follow(panes, first, len(run))
        return sorted(told, key=lambda one: (one.row, one.name))

    def forget_runs(self) -> None:
        """Those so far: the reference is gathered anew."""
        self._usual = UsualRuns()

    def runs(self, reference: Reference) -> dict[str, Runs]:
        """Of one value, that are usual, since this one is gathered."""
        return self._usual.all(reference)

    def _looks(self, run: PaneTable) -> list[int]:
        if self._rows + len(run.sample) < EVERY:
            self._rows += len(run.sample)
            return []
        found: list[int] = []
        pane = np.searchsorted(run.pane_end, run.sample.pane_end)
        for row, rows in enumerate(np.bincount(pane, minlength=len(run)).tolist()):
            self._rows += rows
            if self._rows >= EVERY:
                self._rows = 0
                found.append(row)
        return found

    def _is_expected(self, panes: _Panes, row: int, name: str, limit: int) -> bool:
        """Whether no run of the value that this pane holds is any wonder, however long: most of the
        reference is of it. What does not vary is seen in every pane, and to look at rows takes as
        long as all the rest."""
        value = panes.value(row, name, limit)
        if value is None:
            return False
        terms = panes.terms(name)
        if terms is None:
            return True
        asked = terms.profile.reference.id, terms.floor, *value
        if self._expected.get(name) == asked:
            return True
        if terms.can_tell(usual_of(*value, name, terms.profile.reference)):
            return False
        self._expected[name] = asked
        return True

    def _look(self, panes: _Panes, row: int, name: str, run: Run) -> list[StaleTold]:
        """Is it a run that is too long, of a value at which it is not stuck yet?"""
        stuck, rules = self._stuck.get(name), panes.rules
        if stuck is not None and (stuck.kind, stuck.bits) == (run.kind, run.bits):
            return []
        terms = panes.terms(name) if run.count >= FEWEST else None
        if terms is None or not run.goes_on_for(terms.threshold):
            return []
        runs = panes.runs.get(name) or self._usual.ended(name)
        if are_usual(runs):
            run = self._usual.whole(name, run)
            if is_usual(runs, run, int(panes.table.pane_end[row])):
                return []
        usual = usual_of(run.kind, run.bits, name, terms.profile.reference)
        share = terms.share_of(usual, run.count)
        if share is None:
            return []
        self._usual.forget(name)
        if stuck is None:
            patience = Patience(rules.minimum_values, rules.resolve_values, 0, rules.ask_after_ms)
            firing = Firing(1, int(panes.start_ms[row]) + patience.ask_after_ms, patience)
            self._stuck[name] = Stuck(run.kind, run.bits, run.count, firing)
        else:
            stuck.kind, stuck.bits, stuck.longest = run.kind, run.bits, run.count
            stuck.firing.look_anew()
        told = StaleTold(
            row, name, run, share=share, statistic=terms.statistic(run.count, share),
            threshold=terms.threshold, since_ms=run.first_end_ms - rules.pane_ms,
            profile=terms.profile,
        )  # fmt: skip
        return [told]

    def _follow(self, panes: _Panes, first: int, end: int) -> list[StaleTold]:
        """What is stuck through panes first to end."""
        return [
            one for name in list(self._stuck) for one in self._follow_one(panes, name, first, end)
        ]

    def _follow_one(self, panes: _Panes, name: str, row: int, end: int) -> list[StaleTold]:
        told: list[StaleTold] = []
        stuck, start_ms = self._stuck[name], panes.start_ms
        same, values = stuck.count(panes.table, name)
        while row < end:
            n, firing = values[row:end], stuck.firing
            looks, asks = firing.looks_at(n), firing.asks_at(start_ms[row:end])
            last = min(looks, asks, len(n) - 1)
            n = n[: last + 1]
            firing.add(same[row : row + last + 1, None], n[:, None], n, np.zeros_like(n))
            if last == looks and self._is_well(panes, name, stuck):
                del self._stuck[name]
                return [*told, StaleTold(row + last, name)]
            if last == asks:
                firing.asked()
                told.append(StaleTold(row + last, name, lasting=True))
            row += last + 1
        return told

    def _is_well(self, panes: _Panes, name: str, stuck: Stuck) -> bool:
        terms = panes.terms(name)
        window, firing = stuck.firing.window, stuck.firing
        if int(window.x[0]) == window.count:
            stuck.longest = max(stuck.longest, window.count)
        if terms is not None:
            usual = usual_of(stuck.kind, stuck.bits, name, terms.profile.reference)
            if usual is not None:
                if terms.share_of(usual, stuck.longest) is None:  # by what is known now
                    return True
                looks = float(firing.patience.look)

                def stands(window: Sums) -> Standing:
                    return standing(terms, usual, int(window.x[0]), window.count, looks)

                return firing.look(stands) == "well"
        firing.look_on()
        return False

    def snapshot(self) -> list[Any]:
        stuck = [
            [name, of.kind, of.bits, of.longest, of.firing.snapshot()]
            for name, of in self._stuck.items()
        ]
        usual = self._usual.snapshot()
        return [self._rows, stuck, *([] if usual is None else [usual])]

    def restore(self, plain: list[Any]) -> None:
        self._rows, stuck, *usual = plain
        self._usual = UsualRuns.restore(*(usual or [None]))
        for name, kind, bits, longest, firing in stuck:
            self._stuck[name] = Stuck(kind, bits, longest, Firing.restore(firing))


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
