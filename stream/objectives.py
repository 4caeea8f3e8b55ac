"""What its owner declared acceptable of a model, and how much of that is spent.

An objective allows errors, false positives of a class, or a cost: so much a judged prediction,
over a stretch of time. What was allowed is its budget. Cohorts of a version are counted hour by
hour, as integers; alerts on outcomes say what is spent and how fast.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stream.alert_fields import short
from stream.bounded_mean import STEPS, steps_of
from stream.judged_units import largest_cost
from stream.judgement import COST, FALSE_POSITIVES
from stream.monitor_told import MonitorFinding
from stream.panes import Ints, PaneTable
from stream.rules import HOUR_MS, ModelRule, ObjectiveRule
from stream.times import span_text

KINDS = {"performance", "calibration"}
_SERIES = {"error": "outcome:error", "cost": COST, "false_positive_rate": FALSE_POSITIVES}


def series_of(objective: ObjectiveRule) -> str:
    """Of what was judged, as `judgement` and `class_judgement` call it."""
    name = _SERIES[objective.metric]
    return f"{name}:{objective.of_class}" if objective.of_class else name


def sums_of(objective: ObjectiveRule, run: PaneTable, rule: ModelRule) -> tuple[Ints, Ints] | None:
    """Of each pane what was spent (errors, or steps of the largest cost), of how many predictions;
    None: nothing of the kind was judged."""
    feature = run.features.get(series_of(objective))
    if feature is None:
        return None
    if objective.metric == "cost":
        return steps_of(feature, len(run), largest_cost(rule))[0], feature.number
    cells = feature.buckets
    ones = np.where(cells.key != 0, cells.count, 0)
    sums = np.bincount(cells.pane, weights=ones, minlength=len(run)).astype(np.int64)
    return sums, feature.number


class ObjectiveCounts:
    """By series: hours since 1970, what was spent in each (errors, or steps of the largest cost),
    and of how many predictions."""

    def __init__(self) -> None:
        self._of: dict[str, NDArray[np.int64]] = {}  # shape (hours, 3)

    def count(self, run: PaneTable, findings: Sequence[MonitorFinding], rule: ModelRule) -> None:
        """The cohorts of a run; what they let us find is told with what is spent as of its pane."""
        before = dict(self._of)
        for objective in rule.objectives:
            self._add(objective, run, rule)
        told = [f for f in findings if f.verdict == "drift" and (f.detail or {})["kind"] in KINDS]
        for finding in told:
            assert finding.detail is not None
            part = run.between(run.first_end_ms, finding.pane_end_ms)
            then = ObjectiveCounts()
            then._of = dict(before)
            for objective in rule.objectives:
                then._add(objective, part, rule)
            spent = dict(then.spent(rule, finding.detail["change_at_ms"], finding.pane_end_ms))
            if spent:
                finding.detail["evidence"] = {**finding.detail["evidence"], "objectives": spent}
            if finding.series in spent:
                finding.detail["summary"] += _sentence(spent[finding.series])
            missed = finding.detail["evidence"].get("current", {}).get("missed", [])
            if missed and missed[0] in spent:
                value = finding.detail["impact"]["value"]
                finding.detail["summary"] += _burn(spent[missed[0]], value)

    def _add(self, objective: ObjectiveRule, run: PaneTable, rule: ModelRule) -> None:
        name, found = series_of(objective), sums_of(objective, run, rule)
        if found is None:
            return
        sums, numbers = found
        hours = (run.pane_end - 1) // HOUR_MS
        known = self._of.get(name, np.zeros((0, 3), np.int64))
        added = np.concatenate([known, np.stack([hours, sums, numbers], axis=1)])
        hour, place = np.unique(added[:, 0], return_inverse=True)
        totals = np.zeros((len(hour), 3), np.int64)
        totals[:, 0] = hour
        np.add.at(totals[:, 1:], place.reshape(-1), added[:, 1:])
        self._of[name] = totals[hour > hour[-1] - objective.over_ms // HOUR_MS]

    def spent(
        self, rule: ModelRule, since_ms: int, end_ms: int
    ) -> Iterator[tuple[str, dict[str, Any]]]:
        """Of each objective that there are predictions for; `since_ms`: of the change."""
        scale = largest_cost(rule) / STEPS
        for objective in rule.objectives:
            name = series_of(objective)
            hours: Ints = self._of.get(name, np.zeros((0, 3), np.int64))
            within = hours[hours[:, 0] > (end_ms - 1 - objective.over_ms) // HOUR_MS]
            since = within[within[:, 0] >= since_ms // HOUR_MS]
            if not int(within[:, 2].sum()) or not int(since[:, 2].sum()):
                continue
            unit = scale if objective.metric == "cost" else 1.0
            rate, now = (
                int(part[:, 1].sum()) * unit / int(part[:, 2].sum()) for part in (within, since)
            )
            yield (
                name,
                {
                    "metric": objective.metric,
                    "of_class": objective.of_class or None,
                    "at_most": objective.at_most,
                    "over": span_text(objective.over_ms),
                    "judged": int(within[:, 2].sum()),
                    "value": short(rate),
                    "budget_spent": short(rate / objective.at_most),
                    "value_since_change": short(now),
                    "burn_rate": short(now / objective.at_most),
                },
            )

    # -- state

    def snapshot(self) -> dict[str, Any]:
        return {name: hours.tolist() for name, hours in self._of.items()}

    @classmethod
    def restore(cls, plain: Mapping[str, Any]) -> ObjectiveCounts:
        made = cls()
        made._of = {name: np.array(hours, np.int64).reshape(-1, 3) for name, hours in plain.items()}
        return made


def _sentence(spent: Mapping[str, Any]) -> str:
    what = "of a cost" if spent["metric"] == "cost" else "of errors"
    if spent["metric"] == "false_positive_rate":
        named = spent["of_class"]
        what = f"of false positives of {named}" if named else "of false positives"
    most = f"{spent['at_most']:.4g}" if spent["metric"] == "cost" else _percent(spent["at_most"])
    return (
        f"; {what} at most {most} are acceptable: since the change they come "
        f"{spent['burn_rate']:.2g} times as fast, and {_percent(spent['budget_spent'])} of what "
        f"{spent['over']} allow is spent"
    )


def _burn(spent: Mapping[str, Any], value: float) -> str:
    """`value`: since it is missed, to the pane; hours are coarser."""
    return (
        f": what {spent['over']} allow is spent {value / spent['at_most']:.2g} times as fast as "
        f"it may be, {_percent(spent['budget_spent'])} of it so far"
    )


def _percent(share: float) -> str:
    return f"{100 * share:.3g} %"
