"""How much the values of each unit depend, when it is arranged what is watched."""

from __future__ import annotations

from collections.abc import Sequence

from detectors.dependence import FEWEST_TOGETHER
from detectors.ordered import distinct
from stream.batches import FEWEST, common_tau, taus_of, upper_taus_of
from stream.columns import Rows
from stream.pane_evidence import PaneReader
from stream.panes import summarise
from stream.rules import Rules
from stream.unit_columns import UnitColumns
from stream.unit_plan import Feature
from stream.unit_reading import Asked, Together
from stream.units import Unit, is_fault
from stream.watch import Watch


class Taus:
    """As measured in batches of panes; of what has not been, by the latest panes."""

    def __init__(self, watch: Watch, recent: Rows | None, rules: Rules) -> None:
        self._watch, self._measured = watch, watch.taus()
        self._panes = 0 if recent is None else len(distinct(recent.pane_end))
        self._reader: PaneReader | None = None
        if recent is not None and self._panes >= FEWEST_TOGETHER:
            table = summarise(recent, rules.pane_rows, rules.max_categories)
            self._reader = PaneReader(table, rules.max_categories)

    def ask_all(self, asked: Sequence[Asked]) -> None:
        """What all values say together by the latest panes, from their beginning on."""
        values = [one for one in asked if not is_fault(one[0].measure)]
        if self._reader is None or not values:
            return
        read = self._reader.read(Together(values))
        columns = UnitColumns(unit for unit, _, _ in values)
        of_all = common_tau(self._watch.unmoved(columns), read.x, read.n, read.xx)
        self._watch.common_tau = max(self._watch.common_tau, of_all)

    def of(
        self, feature: Feature, unit: Unit, unmeasured: float = 1.0, *, is_live: bool = False
    ) -> tuple[float, ...]:
        """Of its columns, or one for all. `unmeasured`: where there are too few panes; `is_live`:
        what is measured counts beside a season that was not."""
        # values out of range come together as the values do: there are none to tell it from
        of = Unit.of(unit.name, "shift") if unit.measure == "out_of_range" else unit
        found = self._of(feature, of, unmeasured, is_live=is_live)
        if of.measure == "unseen":
            # in no longer runs than those that are known by now: that of what was unseen when this
            # was measured is another one
            known = self._measured.get((of.name, "shape"), found)
            found = tuple(min(tau, max(known)) for tau in found)
        # a run is worth one value: who has seen one alone takes that for no dependence at all
        runs = feature.profile.reference.runs.get(of.name)
        if runs is None or (is_fault(of.measure) and of.measure != "unseen"):
            return found
        return tuple(max(tau, float(runs.values)) for tau in found)

    def _of(
        self, feature: Feature, of: Unit, unmeasured: float, *, is_live: bool
    ) -> tuple[float, ...]:
        season = feature.profile.season(of.name) if of.measure == "shift" else None
        found = self._measured.get((of.name, of.measure))
        is_young = self._panes < FEWEST
        if found is None and is_young and unmeasured > 1.0:
            found = (unmeasured,) * of.columns
        if season is not None:
            return (max(season.tau, *found),) if is_live and found else (season.tau,)
        if found is None:
            if is_young or self._reader is None:
                return (1.0,) * of.columns
            read = self._reader.read(Together([(of, feature.profile, feature.numeric)]))
            return tuple(taus_of(read.x, read.n, read.xx).tolist())
        return found if len(found) == of.columns else (max(found),)

    def of_new(self, feature: Feature, unit: Unit, unmeasured: float) -> tuple[float, ...]:
        """Of a feature that has just come, of which next to nothing is known: as much as the latest
        panes allow."""
        most = (unmeasured,) * unit.columns
        if self._reader is not None and self._panes >= FEWEST:
            read = self._reader.read(Together([(unit, feature.profile, feature.numeric)]))
            most = tuple(upper_taus_of(read.x, read.n, read.xx, unmeasured).tolist())
        return tuple(map(max, most, self.of_provisional(feature, unit)))

    def of_provisional(self, feature: Feature, unit: Unit) -> tuple[float, ...]:
        """No less than what all values say together: little is known of each."""
        found, common = self.of(feature, unit), self._watch.common_tau
        return tuple(max(of, common) for of in found) if common > 1.0 else found
