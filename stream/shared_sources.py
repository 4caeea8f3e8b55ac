"""Which models tell of a shared feature, and on which terms they are watched together."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from detectors.score_tilts import score_tilts
from detectors.tilts import DOUBT, Tilts
from stream.columns import Group
from stream.rules import DAY_MS
from stream.wire import Finding

_HEARD_MS = 7 * DAY_MS  # a model that has said nothing for so long does not count
_HIGHEST_RATE = 0.01  # of false alarms per value that thresholds are made for
_GROWN = 1.25  # times as much is known: the constants are made anew


@dataclass(slots=True)
class Source:
    """A version of a model, as far as it has told."""

    reference: str
    known: int  # values of its reference
    tau: float
    rate: float  # false alarms a value
    share: float  # of the budget of its model
    floor: float
    heard_ms: int  # its last hour
    n: int = 0  # values against this reference


@dataclass(frozen=True, slots=True)
class SharedTerms:
    known: float  # values of one reference that knows as much as all of them
    tau: float
    rate: float
    share: float
    floor: float

    def tilts(self) -> Tilts:
        rate = min(self.rate, _HIGHEST_RATE)
        return score_tilts([max(self.known, 1.0)], rate=rate, tau=self.tau, floor=self.floor)

    def is_about(self, other: SharedTerms) -> bool:
        """Whether constants made for that one will do."""
        if (self.tau, self.rate, self.floor) != (other.tau, other.rate, other.floor):
            return False
        return other.known / _GROWN <= self.known <= other.known * _GROWN

    @property
    def least(self) -> float:
        """The smallest change worth telling, no less than what the references can tell."""
        return max(self.floor, DOUBT * math.sqrt(self.tau / max(self.known, 1.0)))

    def to_plain(self) -> list[float]:
        return [getattr(self, name) for name in self.__slots__]


class SharedSources:
    def __init__(self) -> None:
        self._of: dict[Group, Source] = {}
        self._known: set[str] = set()  # models, of those that the feature is declared of

    def hear(self, finding: Finding) -> bool:
        """Whether that is another model than those there have been."""
        said, group, hour_ms = finding.detail, finding.group, finding.detail["hour_ms"]
        is_new = group[0] not in self._known
        self._known.add(group[0])
        before = self._of.get(group)
        is_same = before is not None and before.reference == said["reference"]
        self._of[group] = Source(
            said["reference"],
            said["known"],
            said["tau"],
            said["rate"],
            said["share"],
            said["floor"],
            hour_ms,
            said["n"] + (before.n if before is not None and is_same else 0),
        )
        late_ms = hour_ms - _HEARD_MS
        self._of = {other: one for other, one in self._of.items() if one.heard_ms >= late_ms}
        return is_new

    def terms(self, tau: float) -> SharedTerms:
        """`tau`: of all of them together, as it was measured."""
        sources = self._of.values()
        models = {group[0] for group in self._of}
        return SharedTerms(
            self.known(models),
            max([tau, *(one.tau for one in sources)]),
            *min((one.rate, one.share) for one in sources),
            max(one.floor for one in sources) / math.sqrt(len(models)),
        )

    def known(self, models: Collection[str]) -> float:
        """Values of one reference whose error would be that of all of these models together. A
        version may have that of its predecessor."""
        against: dict[str, tuple[int, int]] = {}  # by reference: values, values that it is of
        for group, one in self._of.items():
            if group[0] in models:
                n, known = against.get(one.reference, (0, one.known))
                against[one.reference] = n + one.n, known
        parts = [(n, known) for n, known in against.values() if n and known]
        error = sum(n * n / known for n, known in parts)
        return sum(n for n, _ in parts) ** 2 / error if error else 0.0

    def snapshot(self) -> list[Any]:
        names = Source.__slots__
        of = [[list(g), *(getattr(one, name) for name in names)] for g, one in self._of.items()]
        return [sorted(self._known), of]

    @classmethod
    def restore(cls, plain: list[Any]) -> SharedSources:
        sources, (known, sourced) = cls(), plain
        sources._known = set(known)
        sources._of = {tuple(group): Source(*of) for group, *of in sourced}
        return sources
