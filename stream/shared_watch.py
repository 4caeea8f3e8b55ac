"""A feature that models share, watched once more across them.

    gathering --a week--> calm --crosses, and not by one model alone--> firing
                            ^------------------well again----------------'

What comes in are the hours of each model: sums of ranks, each against the reference of its model
(`stream.shared_sums`). Under no drift they add to 0 whatever the shares of the models in the
traffic. One CUSUM takes them in the order of their ready times. How much they depend, also across
models, which may be asked about the same customers, is measured on the sums of the first week, and
anew in each calm one: the most of the last four counts. With another model it begins anew.

What one model alone is behind is not of the upstream: a crossing is told only if it is there
without the model that says most, too. And a model that tells of the feature by itself counts no
more until that is over.

k models know k references: what can be told of them together is smaller than what each can tell.
So the floor is the largest of theirs divided by √k, or what all references together can tell. The
rate of false alerts is the least of those that the models have for this feature, and the models'
budgets know it as one more item among their features: nothing is added to them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from detectors.cusum_bank import CusumBank
from detectors.effects import Interval, score_difference
from stream.batches import taus_of
from stream.firing import Firing, Patience, Standing, Sums, standing_of
from stream.rules import DAY_MS, Rules
from stream.shared_sources import SharedSources, SharedTerms
from stream.unit_effects import SURE
from stream.wire import Finding

GATHERED = 7 * 24  # hours from which dependence is measured
_WEEKS = 4  # of which the most counts
SILENT_MS = DAY_MS  # without an hour of any model, nothing is known any more
_MOST = 8_192  # hours of models that are remembered while an account rises
_ONE = np.zeros(1, np.int64)
_ARRAYS = ("account", "n_since", "x_since", "since")


@dataclass(frozen=True, slots=True)
class Part:
    """What a model has in a drift."""

    model: str
    n: int
    x: int


@dataclass(frozen=True, slots=True)
class SharedTold:
    since_ms: int
    up: bool = True
    statistic: float = 0.0
    threshold: float = 0.0
    effect: Interval | None = None  # None: it is well again, or has been so for long
    floor: float = 0.0
    share: float = 0.0  # of the budget of the model that has the least for it
    known: int = 0
    parts: tuple[Part, ...] = ()
    lasting: bool = False


class SharedWatch:
    """Of one feature."""

    def __init__(self) -> None:
        self.ready_ms = 0  # of the last hour heard
        self._sources = SharedSources()
        self._hours: dict[int, list[int]] = {}  # x, n, xx: those of a week are gathered
        self._taus: list[float] = []  # of the last weeks
        self._bank: CusumBank | None = None
        self._made_for: SharedTerms | None = None
        self._heard = 0  # hours of models so far, by which the bank counts
        self._recent: list[tuple[int, int, str, int, int]] = []  # number, hour, model, n, x
        self._firing: Firing | None = None

    def end(self) -> None:
        """What fires is over: nobody says anything any more."""
        self._firing, self._recent = None, []
        if self._bank is not None:
            self._bank.begin_anew(_ONE)

    def hear(self, finding: Finding, rules: Rules) -> SharedTold | None:
        """An hour of a model, in the order of ready times."""
        self.ready_ms = finding.ready_ms
        hour_ms, x, n = (int(finding.detail[name]) for name in ("hour_ms", "x", "n"))
        self._heard += 1
        if self._sources.hear(finding):
            self._begin()
        if self._firing is None and not finding.detail["fires"]:
            self._gather(hour_ms, (x, n, int(finding.detail["xx"])))
        terms = self._sources.terms(max(self._taus, default=1.0))
        if self._firing is not None:
            return self._on(self._firing, terms, hour_ms, x, n)
        if not self._taus or finding.detail["fires"]:
            return None
        self._recent = [*self._recent[-_MOST:], (self._heard, hour_ms, finding.group[0], n, x)]
        return self._calmly(terms, x, n, rules)

    def _begin(self) -> None:
        """With another model: how much that one depends on the others is not known."""
        self._hours, self._taus, self._recent = {}, [], []
        if self._bank is not None and self._firing is None:
            self._bank.begin_anew(_ONE)

    def _gather(self, hour_ms: int, told: tuple[int, int, int]) -> None:
        """How much hours depend is known once there are enough of them."""
        sums = self._hours.setdefault(hour_ms, [0, 0, 0])
        self._hours[hour_ms] = [one + more for one, more in zip(sums, told, strict=True)]
        if len(self._hours) > GATHERED:
            inside = sorted(self._hours.items())
            week = np.array([of for _, of in inside[:GATHERED]], np.int64)
            x, n, xx = (week[:, [i]] for i in range(3))
            self._taus = [*self._taus, float(taus_of(x, n, xx)[0])][-_WEEKS:]
            self._hours = dict(inside[GATHERED:])

    def _calmly(self, terms: SharedTerms, x: int, n: int, rules: Rules) -> SharedTold | None:
        bank = self._bank_of(terms)
        found = bank.update(
            np.array([self._heard]), np.array([[x]], np.int64), np.array([[n]], np.int64)
        )
        if not len(found):
            state = bank.snapshot()
            since = state["since"][state["account"] > 0]
            least = int(since.min()) if len(since) else self._heard + 1
            self._recent = [one for one in self._recent if one[0] >= least]
            bank.rest()
            return None
        bank.begin_anew(_ONE)
        recent = [one for one in self._recent if one[0] >= int(found.since[0])]
        self._recent = []
        parts, sign = _parts(recent), float(np.sign(found.theta[0]))
        whole = self._difference(parts, terms)
        if sign * float(whole.estimate) < terms.least or not self._is_shared(parts, terms, sign):
            return None
        last_ms = max(hour_ms for _, hour_ms, *_ in recent)
        ask_ms = last_ms + rules.ask_after_ms
        patience = Patience(
            rules.minimum_values, rules.resolve_values, round(terms.known), rules.ask_after_ms
        )
        self._firing, self._hours = Firing(1, ask_ms, patience), {}
        return SharedTold(
            since_ms=min(hour_ms for _, hour_ms, *_ in recent),
            up=sign > 0,
            statistic=float(found.statistic[0]),
            threshold=float(found.threshold[0]),
            effect=whole,
            floor=terms.least,
            share=terms.share,
            known=round(terms.known),
            parts=tuple(parts),
        )

    def _bank_of(self, terms: SharedTerms) -> CusumBank:
        made = self._made_for
        if self._bank is None or made is None:
            self._bank, self._made_for = CusumBank(terms.tilts()), terms
        elif not terms.is_about(made):
            self._bank.replace(terms.tilts())
            self._made_for = terms
        return self._bank

    def _is_shared(self, parts: list[Part], terms: SharedTerms, sign: float) -> bool:
        """Whether it is there without the model that says most."""
        most = max(parts, key=lambda part: (sign * part.x, part.model))
        others = [part for part in parts if part is not most]
        if not sum(part.n for part in others):
            return False
        rest = self._difference(others, terms, SURE)
        return bool(rest.low > 0.0 if sign > 0 else rest.high < 0.0)

    def _difference(self, parts: list[Part], terms: SharedTerms, level: float = 0.95) -> Interval:
        known = self._sources.known({part.model for part in parts})
        x, n = sum(part.x for part in parts), sum(part.n for part in parts)
        return score_difference(x, n, max(known, 1.0), tau=terms.tau, level=level)

    def _on(
        self, firing: Firing, terms: SharedTerms, hour_ms: int, x: int, n: int
    ) -> SharedTold | None:
        """While it fires: is it well again, or has it been so for long?"""
        count = np.array([n], np.int64)
        looks, asks = firing.looks_at(count) == 0, firing.asks_at(np.array([hour_ms])) == 0
        firing.add(np.array([[x]], np.int64), count[:, None], count, np.zeros(1, np.int64))
        if looks:

            def stands(window: Sums) -> Standing:
                now = score_difference(
                    window.x[0], window.n[0], max(terms.known, 1.0), tau=terms.tau, level=SURE,
                    anytime=float(firing.patience.look),
                )  # fmt: skip
                return standing_of(now, terms.least)

            if firing.look(stands) == "well":
                self.end()
                return SharedTold(hour_ms)
        if not asks:
            return None
        firing.asked()
        return SharedTold(hour_ms, lasting=True)

    def status(self) -> dict[str, Any]:
        """Of how much hours depend, how near it is to telling (1 tells), and whether it fires."""
        level = 0.0 if self._bank is None else float(self._bank.level()[0])
        tau = max(self._taus, default=1.0)
        return {"tau": tau, "level": level, "firing": self._firing is not None}

    # -- state

    def snapshot(self) -> dict[str, Any]:
        bank, made = self._bank, self._made_for
        return {
            "ready_ms": self.ready_ms,
            "sources": self._sources.snapshot(),
            "hours": [[hour_ms, *sums] for hour_ms, sums in self._hours.items()],
            "taus": list(self._taus),
            "made_for": None if made is None else made.to_plain(),
            "bank": None
            if bank is None
            else {name: array.flatten() for name, array in bank.snapshot().items()},
            "heard": self._heard,
            "recent": [list(one) for one in self._recent],
            "firing": None if self._firing is None else self._firing.snapshot(),
        }

    @classmethod
    def restore(cls, plain: dict[str, Any]) -> SharedWatch:
        watch = cls()
        watch.ready_ms, watch._heard = plain["ready_ms"], plain["heard"]
        watch._sources = SharedSources.restore(plain["sources"])
        watch._hours = {hour_ms: sums for hour_ms, *sums in plain["hours"]}
        watch._taus = list(plain["taus"])
        if plain["made_for"] is not None:
            watch._made_for = SharedTerms(*plain["made_for"])
            tilts, held = watch._made_for.tilts(), plain["bank"]
            state = {name: np.array(held[name]).reshape(tilts.gain.shape) for name in _ARRAYS}
            state["held"] = np.array(held["held"], np.bool_)
            watch._bank = CusumBank.restore(tilts, state)
        watch._recent = [(one[0], one[1], one[2], one[3], one[4]) for one in plain["recent"]]
        if plain["firing"] is not None:
            watch._firing = Firing.restore(plain["firing"])
        return watch


def _parts(recent: list[tuple[int, int, str, int, int]]) -> list[Part]:
    """By model."""
    sums: dict[str, list[int]] = {}
    for _, _, model, n, x in recent:
        of = sums.setdefault(model, [0, 0])
        of[0] += n
        of[1] += x
    return sorted((Part(model, n, x) for model, (n, x) in sums.items()), key=lambda p: p.model)
