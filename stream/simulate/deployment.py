"""Versions of a model: which requests each answers, in which role, and how well."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from stream.simulate.features import Column, Mask, Served
from stream.simulate.population import CUSTOMERS
from stream.simulate.relation import normal_cdf
from stream.simulate.requests import Requests

SKILL = 0.6
LAST_MS = 1 << 62


@dataclass(frozen=True, slots=True)
class Deployment:
    """One version in one role, from a time on. Later ones take requests away from earlier ones."""

    version: str
    role: str = "champion"
    share: float = 1.0
    since_ms: int = 0  # event times, half-open
    until_ms: int = LAST_MS
    skill: float = SKILL  # ρ of relation.py, below 1
    reversed: float = 0.0  # this much of what its strongest features say, it takes for the opposite
    latency: float = 1.0  # factor
    answers: float = 1.0  # share of its requests for which there is a prediction at all
    lacks: tuple[str, ...] = ()  # features that it is not given
    feature_set: str | None = None  # None: the model's
    by_customer: bool = False  # the same customer always meets the same version
    name: str = ""  # under which it draws; empty: version and role

    @property
    def drawn_as(self) -> str:
        return self.name or f"{self.version}/{self.role}"

    def asked(self, requests: Requests) -> Mask:
        """Which requests are routed to it, if no later deployment takes them."""
        times_ms = requests.times_ms
        live = (times_ms >= self.since_ms) & (times_ms < self.until_ms)
        if self.share >= 1.0:
            return live
        if self.by_customer:
            draw = requests.run("route", self.drawn_as)
            return live & (draw.random(CUSTOMERS)[requests.customer] < self.share)
        return live & (requests.uniform("route", self.drawn_as) < self.share)


@dataclass(slots=True)
class Answers:
    """What one deployment answers to the requests of a block; an entry a request, used or not."""

    deployment: Deployment
    asked: Mask
    inputs: dict[str, Served]
    response: Column  # z of a classification (its probability is Φ), the logarithm of a regression
    threshold: Column
    latency: Column

    @property
    def probability(self) -> Column:
        return normal_cdf(self.response)


def answers(deployment: Deployment, requests: Requests, asked: Mask) -> Answers:
    """The version at work on what is served to it."""
    model, name = requests.model, deployment.drawn_as
    inputs = dict(requests.served)
    for lacking in deployment.lacks:
        whole = inputs[lacking]
        inputs[lacking] = Served(whole.feature, whole.values, absent=np.ones(len(requests), bool))
    wrong = dict.fromkeys(model.relation.strongest(2), 1.0 - 2.0 * deployment.reversed)
    understood = {feature.name: inputs[feature.name].understood() for feature in model.features}
    response = model.relation.response(understood, wrong if deployment.reversed else {})
    skill = deployment.skill
    hint = skill * requests.hidden + np.sqrt(1 - skill**2) * requests.normal("hint", name)
    believed = model.relation.believed(response, hint, skill)
    if model.task == "regression":
        believed = response + model.relation.hidden * skill * hint
    if deployment.answers < 1.0:
        asked = asked & (requests.uniform("answered", name) < deployment.answers)
    return Answers(
        deployment=deployment,
        asked=asked,
        inputs=inputs,
        response=believed,
        threshold=np.full(len(requests), model.threshold),
        latency=requests.latency * deployment.latency * np.exp(0.1 * requests.normal("pace", name)),
    )


def routed(deployments: list[Deployment], requests: Requests) -> list[tuple[Deployment, Mask]]:
    """Who answers what: shadows whatever they are asked, of the others the last one asked."""
    owner = np.full(len(requests), -1)
    asked = [deployment.asked(requests) for deployment in deployments]
    for number, deployment in enumerate(deployments):
        if deployment.role != "shadow":
            owner[asked[number]] = number
    return [
        (deployment, asked[number] if deployment.role == "shadow" else owner == number)
        for number, deployment in enumerate(deployments)
    ]
