"""What a shadow and its champion said under the same ids: how often alike, and who was right."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from detectors.confidence_sequence import Between, MeanSequence
from detectors.exact_sum import to_floats
from stream.pairs import AGREES, DISTANCE, WORSE, WRONG
from stream.panes import PaneTable
from stream.rules import Rules
from stream.shadow_watch import RulesAt

_COUNTS = ("pairs", "scored", "errors", "more_wrong", "less_wrong", "both_wrong")
Sums = tuple[list[int], list[float], list[float]]


@dataclass(frozen=True, slots=True)
class PairTold:
    """A shadow that errs more than the margin allows, or that does no more."""

    end_ms: int
    is_quiet: bool
    since_ms: int
    worse: Between
    count: int
    errors: tuple[int, int, int, int]  # judged by errors; more, less and both wrong
    rules: Rules


class PairWatch:
    def __init__(self, model_id: str, first_ms: int, alpha: float) -> None:
        self._model_id, self._first_ms = model_id, first_ms
        self._counts = dict.fromkeys(_COUNTS, 0)
        self._distance = 0.0
        self._agrees = MeanSequence(0.0, 1.0, alpha=alpha)
        self._worse = MeanSequence(-1.0, 1.0, alpha=alpha)
        self._is_worse = False

    def update(self, table: PaneTable, rules_at: RulesAt) -> Iterator[PairTold]:
        """Panes, ends ascending."""
        counts = self._counts
        agrees, distance = _sums(table, AGREES), _sums(table, DISTANCE)
        worse, wrong = _sums(table, WORSE), _sums(table, WRONG)
        for pane, end_ms in enumerate(table.pane_end.tolist()):
            counts["pairs"] += int(table.rows[pane])
            counts["scored"] += distance[0][pane]
            self._distance += distance[1][pane]
            self._agrees.update(agrees[0][pane], agrees[1][pane], agrees[2][pane])
            if not worse[0][pane]:
                continue
            self._worse.update(worse[0][pane], worse[1][pane], worse[2][pane])
            self._count_errors(wrong[0][pane], wrong[1][pane], worse[1][pane], worse[2][pane])
            yield from self._judge(end_ms, rules_at(end_ms))

    def _count_errors(self, count: int, wrong: float, less: float, squares: float) -> None:
        """`less` and `squares`: of all judged, which are errors, or none of them is."""
        if count:
            more = round(squares + less) // 2
            self._counts["errors"] += count
            self._counts["more_wrong"] += more
            self._counts["less_wrong"] += round(squares) - more
            self._counts["both_wrong"] += (round(wrong) - round(squares)) // 2

    def _judge(self, end_ms: int, rules: Rules) -> Iterator[PairTold]:
        worse = self._worse.interval()
        is_worse = worse.low > (0.0 if self._is_worse else rules.shadow_of(self._model_id).margin)
        if is_worse != self._is_worse:
            self._is_worse = is_worse
            yield self._told(end_ms, rules)

    def quiets(self, end_ms: int, rules: Rules) -> Iterator[PairTold]:
        if self._is_worse:
            self._is_worse = False
            yield self._told(end_ms, rules)

    def _told(self, end_ms: int, rules: Rules) -> PairTold:
        names = ("errors", "more_wrong", "less_wrong", "both_wrong")
        errors = tuple(self._counts[name] for name in names)
        worse = self._worse.interval()
        return PairTold(
            end_ms,
            is_quiet=not self._is_worse,
            since_ms=self._first_ms,
            worse=worse,
            count=self._worse.count,
            errors=(errors[0], errors[1], errors[2], errors[3]),
            rules=rules,
        )

    def status(self, margin: float) -> dict[str, Any]:
        """For people: what is known so far, with intervals that hold at all times together."""
        c, judged = self._counts, self._worse.count
        worse, agrees = self._worse.interval(), self._agrees.interval()
        verdict = "undecided"
        if judged:
            verdict = "worse" if worse.low > margin else verdict
            verdict = "not worse" if worse.high <= margin else verdict
            verdict = "better" if worse.high < -margin else verdict
        found: dict[str, Any] = {"pairs": c["pairs"], "judged": judged, "verdict": verdict}
        found["error_difference"] = _shown(worse, judged)
        found["agreement"] = _shown(agrees, self._agrees.count)
        if c["scored"]:
            found["score_distance"] = float(f"{self._distance / c['scored']:.6g}")
        if c["errors"]:
            right = c["errors"] - c["more_wrong"] - c["less_wrong"] - c["both_wrong"]
            found["both_right"], found["only_champion_right"] = right, c["more_wrong"]
            found["only_shadow_right"], found["both_wrong"] = c["less_wrong"], c["both_wrong"]
        return found

    # -- state

    def to_plain(self) -> dict[str, Any]:
        return {
            "first_ms": self._first_ms,
            "counts": dict(self._counts),
            "distance": self._distance,
            "agrees": self._agrees.snapshot(),
            "worse": self._worse.snapshot(),
            "is_worse": self._is_worse,
        }

    @classmethod
    def from_plain(cls, model_id: str, plain: dict[str, Any]) -> Self:
        made = cls(model_id, plain["first_ms"], 0.5)
        made._counts, made._distance = dict(plain["counts"]), plain["distance"]
        made._agrees = MeanSequence.restore(plain["agrees"])
        made._worse = MeanSequence.restore(plain["worse"])
        made._is_worse = plain["is_worse"]
        return made


def _sums(table: PaneTable, name: str) -> Sums:
    """By pane: how many numbers, their sum, the sum of their squares."""
    nothing: NDArray[np.int64] = np.zeros(len(table), np.int64)
    if name not in table.features:
        return nothing.tolist(), [0.0] * len(table), [0.0] * len(table)
    of = table.features[name]
    sums, squares = (to_floats(one, len(table))[0] for one in (of.sums, of.squares))
    return of.number.tolist(), sums.tolist(), squares.tolist()


def _shown(between: Between, count: int) -> dict[str, Any] | None:
    if not count:
        return None
    of = (between.estimate, between.low, between.high)
    return dict(zip(("estimate", "low", "high"), (float(f"{v:.6g}") for v in of), strict=True))
