"""The age at which the first predictions of a model are judged, before `auto` knows the maturity.

    undecided --first 1,000, 2,000, ... labelled--> early --as many of the span--> borne out
        '--end of the span--> none                    '--fewer--> refuted

A reference takes a day, and what is wrong on the first day would be told on the second. So the
predictions of its span (of all panes that end within it, which is known from the first pane on)
are judged as soon as the first of them say at what age, by the rule for the maturity and a quarter
more, the horizon at most: of labels that come in batches, one a period, nine in ten come within
nine tenths of it. A look is believed only if its predictions came for twice as long, or batches
would seem to come soon; its word is heard until the next look is complete. When all of the span are
judged, the age is borne out if as many of them were labelled by then, give or take one in ten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from stream.label_delays import Counted, Table, spoken
from stream.panes import Ints
from stream.rules import ReferenceRule, Rules

FIRST = 1_000  # predictions of the first look
_LASTED = 2  # times the age: as long they must have come


def may_be_early(rule: ReferenceRule) -> bool:
    """Whether a reference by this rule takes a time of its own."""
    return rule.span_ms > 0


@dataclass(frozen=True, slots=True)
class Early:
    """Decided for the panes that end by `until_ms`."""

    maturity_ms: int
    decided_at_ms: int
    until_ms: int


@dataclass(frozen=True, slots=True)
class Word:
    """What a look says: `labelled` of its `count` predictions were, at this age."""

    age_ms: int
    at_ms: int
    labelled: int
    count: int


class EarlyAge:
    def __init__(self, rule: ReferenceRule, rules: Rules) -> None:
        self._rule, self._rules = rule, rules
        self._looks: list[tuple[int, int]] = []  # predictions, and the pane end that they are by
        self._passed = 0  # looks that can say nothing any more
        self._seen = 0  # predictions of the span
        self._judged, self._labelled = 0, 0  # of these, at the age
        self.end_ms: int | None = None  # of the span
        self.behind = Counted(0)  # predictions behind the span
        self.word: Word | None = None

    def count(self, start_ms: int, pane_end: Ints, rows: Ints) -> None:
        """Panes of the model, ends ascending; `start_ms`: of the first."""
        if self.end_ms is None:
            self.end_ms = self.behind.start_ms = start_ms + self._rule.span_ms
        inside = int(np.searchsorted(pane_end, self.end_ms, side="right"))
        total = self._seen + np.cumsum(rows[:inside])
        while inside:
            wanted = FIRST << len(self._looks)
            at = int(np.searchsorted(total, wanted))
            if at == inside:
                break
            self._looks.append((int(total[at]), int(pane_end[at])))
        self._seen = int(total[-1]) if inside else self._seen
        self.behind.add(pane_end[inside:], rows[inside:], self._rule)

    def decide(self, table: Table, reached_ms: int) -> Word | None:
        """The word of the first look that has one, if it falls by `reached_ms`."""
        assert self.end_ms is not None
        for place in range(self._passed, len(self._looks)):
            count, end_ms = self._looks[place]
            last_ms = self.end_ms - 1
            if place + 1 < len(self._looks):
                last_ms = min(last_ms, self._looks[place + 1][1] + self._rules.grace_ms - 1)
            self.word = self._said(table, count, end_ms, min(last_ms, reached_ms))
            if self.word is not None:
                return self.word
            if last_ms <= reached_ms:
                self._passed = place + 1
        return None

    def _said(self, table: Table, count: int, end_ms: int, reached_ms: int) -> Word | None:
        of_look = table[(table[:, 1] <= end_ms)]
        if int(of_look[:, 3].sum()) * 4 < 3 * count:
            return None
        found = spoken(of_look, count, end_ms, reached_ms, self._rules)
        assert self.end_ms is not None
        began_ms = self.end_ms - self._rule.span_ms
        if found is None or end_ms - began_ms < _LASTED * found[0]:
            return None
        (edge_ms, at_ms), horizon_ms = found, self._rules.horizon_ms
        if edge_ms > horizon_ms:  # nobody waits as long for a label
            return None
        age_ms = min(-(-edge_ms * 5 // 4), horizon_ms)
        in_time = (of_look[:, 2] <= age_ms) & (of_look[:, 0] + self._rules.settled_ms <= at_ms)
        return Word(age_ms, at_ms, int(of_look[in_time, 3].sum()), count)

    def is_past(self, reached_ms: int) -> bool:
        """Whether no look can say anything any more."""
        return self.end_ms is not None and reached_ms >= self.end_ms - 1

    # -- when it is borne out

    @property
    def judged_ms(self) -> int:
        """The ready time at which all predictions of the span are judged."""
        assert self.end_ms is not None
        assert self.word is not None
        return self.end_ms + self._rules.grace_ms + self.word.age_ms

    def judge(self, rows: int, labelled: int) -> None:
        """Predictions of the span at the age."""
        self._judged += rows
        self._labelled += labelled

    @property
    def is_borne_out(self) -> bool:
        word = self.word
        assert word is not None
        return self._labelled * word.count * 10 >= self._judged * (10 * word.labelled - word.count)

    # -- state

    def snapshot(self) -> dict[str, Any]:
        of, word = self.behind, self.word
        return {
            "looks": [list(look) for look in self._looks],
            "passed": self._passed,
            "seen": self._seen,
            "judged": [self._judged, self._labelled],
            "end_ms": self.end_ms,
            "behind": [of.start_ms, of.count, of.end_ms],
            "word": None if word is None else [word.age_ms, word.at_ms, word.labelled, word.count],
        }

    def restore(self, plain: dict[str, Any]) -> None:
        self._looks = [(count, end_ms) for count, end_ms in plain["looks"]]
        self._passed, self._seen, self.end_ms = plain["passed"], plain["seen"], plain["end_ms"]
        self._judged, self._labelled = plain["judged"]
        self.behind = Counted(*plain["behind"])
        self.word = None if plain["word"] is None else Word(*plain["word"])
