"""One model in production: block after block, every request through all its steps."""

from __future__ import annotations

import numpy as np

from stream.demo.events import Event
from stream.simulate import encode
from stream.simulate.deployment import Deployment, answers, routed
from stream.simulate.draws import Draws
from stream.simulate.fault import Fault
from stream.simulate.features import Column, Served
from stream.simulate.model import Model
from stream.simulate.population import Population
from stream.simulate.requests import Requests, Times, made
from stream.simulate.traffic import Traffic
from stream.simulate.waiting import WaitingEvents, WaitingOutcomes

RETURNING = 0.02  # mean time from an outcome's observation to the topic, of the labels' median


class ModelRun:
    """The life of one model. `block` is called for one block of event time after the other."""

    def __init__(
        self,
        model: Model,
        draws: Draws,
        people: Population,
        traffic: Traffic,
        *,
        deployments: list[Deployment],
        faults: list[Fault],
        end_ms: int,
    ) -> None:
        self.model = model
        self.faults = faults
        self._draws = draws.within("model", model.name)
        self._people = people
        self._traffic = traffic
        self._deployments = deployments + [each for one in faults for each in one.deployments()]
        self._end_ms = end_ms
        self._made: dict[str, int] = {}  # requests so far, by source
        self._predictions = WaitingEvents()
        self._outcomes = WaitingOutcomes(model.name)

    def block(self, start_ms: int) -> tuple[list[Event], list[Event]]:
        """Predictions and outcomes that arrive before the end of this block, by arrival."""
        for source, fault in [("", None), *((one.key, one) for one in self.faults)]:
            edges = np.array([start_ms, start_ms + self._traffic.block_ms], dtype=np.float64)
            if fault is not None and fault.rate(edges) is None:
                continue  # it adds no requests
            factor = None if fault is None else fault.added
            times = self._traffic.arrivals(self._draws, start_ms, source, factor)
            self._answer(self._requests(source, times))
        return self.due(start_ms + self._traffic.block_ms)

    def due(self, before_ms: int) -> tuple[list[Event], list[Event]]:
        return self._predictions.due(before_ms), self._outcomes.due(before_ms)

    def training(self, count: int, start_ms: int) -> tuple[list[Event], list[Event]]:
        """So many requests of before the start without any fault, and all their outcomes."""
        gaps = self._draws("training").exponential(1 / self._traffic.per_ms, count)
        alone = ModelRun(
            self.model,
            self._draws,
            self._people,
            self._traffic,
            deployments=self._deployments[:1],
            faults=[],
            end_ms=start_ms,
        )
        alone._answer(alone._requests("training", start_ms - np.ceil(np.cumsum(gaps))[::-1]))
        return alone.due(1 << 62)

    def _requests(self, source: str, times: Column) -> Requests:
        times_ms = times[times < self._end_ms].astype(np.int64)
        first = self._made.get(source, 0)
        self._made[source] = first + len(times_ms)
        return made(
            self.model,
            self._draws,
            self._people,
            times_ms,
            self._traffic.season(times_ms.astype(np.float64)),
            source=source,
            first=first,
        )

    def _answer(self, requests: Requests) -> None:
        for fault in self.faults:
            dropped = fault.drop(requests)
            if dropped is not None:
                fault.lost(requests, dropped)
                requests.alive &= ~dropped
        self._happen(requests)
        self._serve(requests)
        self._label(requests)
        for deployment, asked in routed(self._deployments, requests):
            if asked.any():
                said = answers(deployment, requests, asked)
                for fault in self.faults:
                    fault.answer(requests, said)
                self._predictions.add(encode.predictions(requests, said))
        for fault in self.faults:
            fault.count(requests)

    def _happen(self, requests: Requests) -> None:
        """What is true: inputs, and what follows from them."""
        for fault in self.faults:
            fault.world(requests)
        factors: dict[str, Column | float] = {}
        for fault in self.faults:
            fault.relation(requests, factors)
        relation = self.model.relation
        requests.hidden = requests.normal("hidden")
        response = relation.response(requests.features, factors) + relation.hidden * requests.hidden
        response = response + relation.noise * requests.normal("noise")
        requests.positive = response > 0
        requests.value = np.exp(response) if self.model.task == "regression" else response

    def _serve(self, requests: Requests) -> None:
        """What reaches the model, and how long it takes."""
        requests.served = {
            feature.name: Served(feature, requests.features[feature.name])
            for feature in self.model.features
        }
        for fault in self.faults:
            fault.pipeline(requests)
        pace = np.exp(self.model.latency_sigma * requests.normal("latency"))
        requests.latency = self.model.latency_ms * pace
        for fault in self.faults:
            fault.latency(requests)

    def _label(self, requests: Requests) -> None:
        model = self.model
        median = np.where(
            requests.positive, model.label_median_ms / model.positive_sooner, model.label_median_ms
        )
        requests.delay = median * np.exp(model.label_sigma * requests.normal("label delay"))
        requests.labelled = requests.uniform("labelled") >= model.label_never
        for fault in self.faults:
            fault.labels(requests)
        observed_ms: Times = requests.times_ms + requests.delay.astype(np.int64)
        returning = requests.draws("returning").exponential(
            RETURNING * model.label_median_ms, len(requests)
        )
        arrival_ms: Times = observed_ms + np.ceil(returning).astype(np.int64)
        chosen = np.flatnonzero(requests.labelled & requests.alive)
        self._outcomes.add(requests, arrival_ms, observed_ms, chosen)
