"""Models in production, simulated: a stream of events, and the truth about it."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from dataclasses import replace
from operator import itemgetter
from typing import Any

from stream.demo.events import Event
from stream.setting_types import ms
from stream.simulate.catalogue import MODELS
from stream.simulate.draws import Draws
from stream.simulate.model_run import ModelRun
from stream.simulate.population import Population
from stream.simulate.spec import Spec
from stream.simulate.truth import truth

_by_arrival = itemgetter(0)


def simulate(spec: Spec) -> Iterator[tuple[bool, Event]]:
    """(is a prediction, event), by arrival, until the end of the spec's length."""
    return Simulation(spec).events()


class Simulation:
    """One run of a spec. `truth` is complete once the events are read to their end.

    What has not arrived by the end of the spec's length is left out: outcomes that are due later.
    Memory: a block of events and the outcomes that wait (some 300 bytes each).
    """

    def __init__(self, spec: Spec) -> None:
        self.spec = spec
        self._traffic = spec.traffic.traffic()
        draws = Draws(spec.seed)
        people = Population.drawn(draws)
        faults = spec.faults_of_models()
        self._models = []
        for name in spec.models:
            model = MODELS[name]
            if spec.labels.median is not None:
                model = replace(model, label_median_ms=ms(spec.labels.median))
            if spec.labels.never is not None:
                model = replace(model, label_never=spec.labels.never)
            self._models.append(
                ModelRun(
                    model,
                    draws,
                    people,
                    self._traffic,
                    deployments=spec.deployments(),
                    faults=faults[name],
                    end_ms=spec.end_ms,
                )
            )

    def blocks(self) -> Iterator[tuple[list[Event], list[Event]]]:
        """Predictions and outcomes, block by block: each list by arrival, as are the blocks."""
        for start_ms in range(self.spec.start_ms, self.spec.end_ms, self._traffic.block_ms):
            made = [model.block(start_ms) for model in self._models]
            yield self._in_order([one for one, _ in made]), self._in_order([two for _, two in made])

    def events(self) -> Iterator[tuple[bool, Event]]:
        """(is a prediction, event), by arrival."""
        for predictions, outcomes in self.blocks():
            yield from heapq.merge(
                ((True, event) for event in predictions),
                ((False, event) for event in outcomes),
                key=lambda item: item[1].arrival_ms,
            )

    def training(self) -> tuple[list[Event], list[Event]]:
        """Predictions and outcomes of before the start, without faults: what models learnt from."""
        made = [m.training(self.spec.training, self.spec.start_ms) for m in self._models]
        return self._in_order([one for one, _ in made], until_ms=None), self._in_order(
            [two for _, two in made], until_ms=None
        )

    def truth(self) -> dict[str, Any]:
        return truth(self.spec, [fault for model in self._models for fault in model.faults])

    def _in_order(self, lists: list[list[Event]], until_ms: int | None = -1) -> list[Event]:
        end_ms = self.spec.end_ms if until_ms == -1 else until_ms
        found = [event for events in lists for event in events]
        if len(lists) > 1:
            found.sort(key=_by_arrival)
        while end_ms is not None and found and found[-1].arrival_ms >= end_ms:
            found.pop()
        return found
