"""What every fault is: a time, a scope, what it does at each step of a request, and what it is
called by a monitor that is worth its money."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import numpy as np

from stream.events import Action, Kind
from stream.setting_types import ms, parse_duration
from stream.simulate.deployment import LAST_MS, Answers, Deployment
from stream.simulate.fault_text import OPTIONS, FaultText
from stream.simulate.features import Column, Feature, Mask
from stream.simulate.model import Model
from stream.simulate.population import segment_code
from stream.simulate.requests import Requests, Times

Target = Literal["feature", "number", "category", "pair", "segment", "way", "nothing"]


@dataclass(frozen=True, slots=True)
class Expected:
    """One alert that a good monitor raises: any of these kinds and actions, the best first."""

    kinds: tuple[Kind, ...]
    actions: tuple[Action, ...]
    feature: str | None = None
    segment: str | None = None
    version: str | None = None  # None: the champion's
    role: str = "champion"


@dataclass
class Fault:
    """A fault of one model. Each step of a request asks it; most faults act at one of them.

    Steps: `rate` (more requests), `drop` (fewer), `world` (what is true of the inputs), `relation`
    (how the truth depends on them), `pipeline` (what reaches the model), `deployments` (who
    answers), `answer` (what is answered), `latency`, `labels`.
    """

    text: FaultText
    model: Model
    champion: Deployment
    start_ms: int
    key: str  # under which it draws

    kind: ClassVar[str]
    what: ClassVar[str]
    target: ClassVar[Target] = "nothing"
    is_target_free: ClassVar[bool] = False  # whether it may be left out where it is a feature
    ways: ClassVar[tuple[str, ...]] = ()  # where the target is one of these words
    unit: ClassVar[str] = "no intensity"  # what the intensity means
    default: ClassVar[float | None] = None
    bounds: ClassVar[tuple[float, float]] = (0.0, 1.0)
    options: ClassVar[tuple[str, ...]] = ()  # beside model and where
    follows: ClassVar[tuple[Kind, ...]] = ()  # kinds of alerts that are consequences of it

    touched: int = field(
        default=0, init=False
    )  # predictions or outcomes that are not as without it
    first_ms: int | None = field(default=None, init=False)  # event times of the touched requests
    last_ms: int | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        self.onset_ms = self.start_ms + self.text.onset_ms
        self.end_ms = LAST_MS if self.text.end_ms is None else self.start_ms + self.text.end_ms
        given = self.text.intensity if self.text.intensity is not None else self.default
        self.intensity: float = 0.0 if given is None else given
        self.ramp_ms = (
            ms(parse_duration(self.text.options["ramp"])) if "ramp" in self.text.options else 0
        )
        self.segment = self.text.options.get("where")
        self.where = None if self.segment is None else segment_code(self.segment)
        self._mask: Mask | None = None
        self._check()

    # What it says of itself.

    def expected(self) -> tuple[Expected, ...]:
        raise NotImplementedError

    def facts(self) -> dict[str, Any]:
        """More for truth.json: pairs of names, factors, versions."""
        return {}

    # What it does.

    def rate(self, times_ms: Column) -> Column | None:  # noqa: ARG002 the base does nothing
        """The rate of the requests that it adds, a factor of the traffic's; None: it adds none."""
        return None

    def added(self, times_ms: Column) -> Column:
        rate = self.rate(times_ms)
        assert rate is not None
        return rate

    def drop(self, requests: Requests) -> Mask | None:  # noqa: ARG002
        return None

    def world(self, requests: Requests) -> None:
        pass

    def relation(self, requests: Requests, factors: dict[str, Column | float]) -> None:
        pass

    def pipeline(self, requests: Requests) -> None:
        pass

    def deployments(self) -> list[Deployment]:
        return []

    def answer(self, requests: Requests, answers: Answers) -> None:
        pass

    def latency(self, requests: Requests) -> None:
        pass

    def labels(self, requests: Requests) -> None:
        pass

    # What its steps share.

    @property
    def feature(self) -> Feature:
        """Its target, where that is a feature."""
        found = self.model.feature(self.text.target or "")
        assert found is not None, "checked when it was made"
        return found

    def active(self, requests: Requests) -> Mask:
        """The requests within its time and segment."""
        found: Mask = (requests.times_ms >= self.onset_ms) & (requests.times_ms < self.end_ms)
        if self.where is not None:
            dimension, code = self.where
            found = found & (requests.segments[dimension] == code)
        return found

    def strength(self, times_ms: Column | Times) -> Column:
        """0 to 1 at these times: how much of it is there, with its ramp."""
        times = np.asarray(times_ms, dtype=np.float64)
        grown = (times - self.onset_ms) / self.ramp_ms if self.ramp_ms else (times >= self.onset_ms)
        return np.where(times < self.end_ms, np.clip(grown, 0.0, 1.0), 0.0)

    def chosen(self, requests: Requests, share: float | None = None) -> Mask:
        """A random share (by default its intensity) of the active requests, growing with its ramp.

        A higher intensity chooses the same requests, and more.
        """
        share = self.intensity if share is None else share
        lucky = requests.uniform("fault", self.key) < share * self.strength(requests.times_ms)
        return self.active(requests) & lucky

    def touch(self, mask: Mask) -> None:
        """Remembers which requests it has changed."""
        self._mask = mask if self._mask is None else self._mask | mask

    def lost(self, requests: Requests, dropped: Mask) -> None:
        """Requests that it takes away are touched too; of those it had added, the others are."""
        if requests.source == self.key:
            self.touch(~dropped)
        else:
            self.touch(dropped & requests.alive)
            self._count(requests, requests.alive)

    def count(self, requests: Requests) -> None:
        """At the end of a block: of those changed, the ones still alive."""
        self._count(requests, requests.alive)

    def _count(self, requests: Requests, counted: Mask) -> None:
        if self._mask is not None:
            times_ms = requests.times_ms[self._mask & counted]
            self.touched += len(times_ms)
            if len(times_ms):
                self.first_ms = (
                    int(times_ms[0])
                    if self.first_ms is None
                    else min(self.first_ms, int(times_ms[0]))
                )
                self.last_ms = max(self.last_ms or 0, int(times_ms[-1]))
        self._mask = None

    # What may be asked of it.

    def _check(self) -> None:
        low, high = self.bounds
        if self.unit == "no intensity" and self.text.intensity is not None:
            raise ValueError(f"{self.kind} has no intensity")
        if self.unit != "no intensity" and not low <= self.intensity <= high:
            raise ValueError(f"{self.kind}: an intensity of {self.intensity:g} is not {self.unit}")
        surplus = set(self.text.options) - {*self.options, "model", "where"}
        if surplus:
            allowed = ", ".join(
                name for name in OPTIONS if name in {*self.options, "model", "where"}
            )
            raise ValueError(
                f"{self.kind} has no option {', '.join(sorted(surplus))} (it has {allowed})"
            )
