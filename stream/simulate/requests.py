"""The requests of one block, on their way from being made to being answered."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from stream.simulate.draws import Draws
from stream.simulate.features import Column, Mask, Served
from stream.simulate.model import Model
from stream.simulate.population import SEGMENTS, Codes, Population, codes

Times = npt.NDArray[np.int64]


@dataclass(slots=True)
class Requests:
    """Columns of equal length, by time. What faults drop stays, dead, so that nothing shifts."""

    model: Model
    run: Draws  # of the whole run of this model
    draws: Draws  # of this block and source
    source: str  # empty, or what fault added them: part of their ids
    first: int  # number of the first of them
    times_ms: Times
    customer: Codes
    segments: dict[str, Codes]  # dimension to the code of its value
    features: dict[str, Column]  # as they truly are
    alive: Mask
    revision: Codes  # of the feature set: what is added to the model's number of it
    served: dict[str, Served] = field(default_factory=dict)  # as they reach the model
    positive: Mask = field(default_factory=lambda: np.zeros(0, bool))  # the truth of a class
    value: Column = field(default_factory=lambda: np.zeros(0))  # the truth of a regression
    hidden: Column = field(default_factory=lambda: np.zeros(0))  # U of the relation
    latency: Column = field(default_factory=lambda: np.zeros(0))  # ms, before any version's factor
    delay: Column = field(default_factory=lambda: np.zeros(0))  # ms until the outcome is observed
    labelled: Mask = field(default_factory=lambda: np.zeros(0, bool))

    def __len__(self) -> int:
        return len(self.times_ms)

    def uniform(self, *purpose: str | int) -> Column:
        return self.draws(*purpose).random(len(self))

    def normal(self, *purpose: str | int) -> Column:
        return self.draws(*purpose).standard_normal(len(self))


def made(
    model: Model,
    run: Draws,
    people: Population,
    times_ms: Times,
    season: Column,
    *,
    source: str,
    first: int,
) -> Requests:
    """Requests at these times, with all features in order."""
    draws = run.within("block", source, first)
    size = len(times_ms)
    # Few customers make most requests.
    chosen = draws("customer").random(size) ** 2 * len(people.score)
    customer = chosen.astype(np.int64)
    requests = Requests(
        model=model,
        run=run,
        draws=draws,
        source=source,
        first=first,
        times_ms=times_ms,
        customer=customer,
        segments={
            "region": people.region[customer],
            "unit": people.unit[customer],
            "producer": codes(draws("producer").random(size), "producer"),
        },
        features=model.draw(draws.within("feature"), people, customer, season),
        alive=np.ones(size, bool),
        revision=np.zeros(size, np.int64),
    )
    assert set(requests.segments) == set(SEGMENTS)
    return requests
