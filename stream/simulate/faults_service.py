"""Faults of the service: what it answers, how quickly, how often, and which labels come back."""

from __future__ import annotations

from datetime import timedelta
from statistics import NormalDist
from typing import Any, ClassVar

import numpy as np

from stream.events import Action, Kind
from stream.setting_types import ms, parse_duration
from stream.simulate.deployment import Answers
from stream.simulate.fault import Expected, Fault, Target
from stream.simulate.features import Column, Mask
from stream.simulate.population import segment_code
from stream.simulate.requests import Requests

BATCH_MS = 600_000
WORSE: tuple[Kind, ...] = ("performance", "concept_drift", "calibration")


class AnswerFault(Fault):
    """Acts on all answers of the active requests, of one role or version if told so."""

    options: ClassVar[tuple[str, ...]] = ("role", "version", "ramp")
    kinds: ClassVar[tuple[Kind, ...]]

    def expected(self) -> tuple[Expected, ...]:
        role, version = self.text.options.get("role", "champion"), self.text.options.get("version")
        actions: tuple[Action, ...] = ("investigate", "retrain", "rollback")
        return (Expected(self.kinds, actions, None, self.segment, version, role),)

    def answer(self, requests: Requests, answers: Answers) -> None:
        said, options = answers.deployment, self.text.options
        if said.role == options.get("role", said.role) and said.version == options.get(
            "version", said.version
        ):
            mask = self.active(requests)
            self.change(answers, np.where(mask, self.strength(requests.times_ms), 0.0))
            self.touch(mask & answers.asked)

    def change(self, answers: Answers, strength: Column) -> None:
        raise NotImplementedError


class Prediction(AnswerFault):
    kind = "prediction"
    what = "every prediction is higher than the model meant: a bug behind it; inputs and truth stay"
    unit = "a difference of the score on the probit scale, or of the value's logarithm"
    default = 0.5
    bounds = (-5.0, 5.0)
    kinds = ("prediction_drift",)
    follows: ClassVar[tuple[Kind, ...]] = WORSE

    def change(self, answers: Answers, strength: Column) -> None:
        answers.response = answers.response + self.intensity * strength


class FalsePositives(AnswerFault):
    kind = "false_positives"
    what = "the threshold of the decision is lowered: legitimate requests are refused"
    unit = "a threshold, 0 to 1"
    default = 0.1
    kinds = ("performance",)

    def change(self, answers: Answers, strength: Column) -> None:
        answers.threshold = np.where(strength > 0, self.intensity, answers.threshold)

    def _check(self) -> None:
        super()._check()
        _only_for_classes(self)


class Calibration(AnswerFault):
    kind = "calibration"
    what = "scores become overconfident (x2) or timid (x0.5); their order and the decisions stay"
    unit = "a factor of the distance from the threshold on the probit scale, such as x2"
    default = 2.0
    bounds = (0.01, 100.0)
    kinds = ("calibration",)
    follows: ClassVar[tuple[Kind, ...]] = ("prediction_drift", "performance")

    def change(self, answers: Answers, strength: Column) -> None:
        threshold = NormalDist().inv_cdf(self.model.threshold)
        distance = answers.response - threshold
        answers.response = threshold + distance * self.intensity**strength

    def _check(self) -> None:
        super()._check()
        _only_for_classes(self)


def _only_for_classes(fault: Fault) -> None:
    if fault.model.task != "classification":
        raise ValueError(f"{fault.kind}: {fault.model.name} is a {fault.model.task}")


class Latency(Fault):
    kind = "latency"
    what = "answers take longer: `all`, or only one in twenty (`tail`)"
    target: ClassVar[Target] = "way"
    ways = ("all", "tail")
    unit = "a factor, such as x3"
    default = 3.0
    bounds = (0.001, 10_000.0)
    options = ("ramp",)

    def expected(self) -> tuple[Expected, ...]:
        return (Expected(("latency",), ("investigate", "fix_pipeline"), None, self.segment),)

    def latency(self, requests: Requests) -> None:
        mask = self.active(requests)
        if self.text.target == "tail":
            mask &= self.chosen(requests, 0.05)
        factor = self.intensity ** self.strength(requests.times_ms)
        requests.latency = np.where(mask, requests.latency * factor, requests.latency)
        self.touch(mask)


class Throughput(Fault):
    kind = "throughput"
    what = "fewer requests (x0.3) or more (x5)"
    unit = "a factor, such as x5"
    default = 0.3
    bounds = (0.0, 1_000.0)
    options = ("ramp",)

    def expected(self) -> tuple[Expected, ...]:
        return (Expected(("throughput",), ("investigate", "fix_pipeline"), None, self.segment),)

    def rate(self, times_ms: Column) -> Column | None:
        return (self.intensity - 1) * self.strength(times_ms) if self.intensity > 1 else None

    def drop(self, requests: Requests) -> Mask | None:
        if self.intensity <= 1:
            return self.chosen(requests, 1 - self.intensity)
        return ~self.active(requests) if requests.source == self.key else None


class Batch(Fault):
    kind = "batch"
    what = "a batch job calls the real-time service every=1d for 10 minutes; latency rises with it"
    unit = "a factor of the traffic meanwhile, such as x30"
    default = 30.0
    bounds = (1.0, 10_000.0)
    options = ("every",)

    @property
    def every_ms(self) -> int:
        return ms(parse_duration(self.text.options.get("every", timedelta(days=1))))

    def facts(self) -> dict[str, Any]:
        return {"every_ms": self.every_ms, "batch_ms": BATCH_MS}

    def expected(self) -> tuple[Expected, ...]:
        actions: tuple[Action, ...] = ("investigate", "fix_pipeline")
        return (Expected(("throughput",), actions), Expected(("latency",), actions))

    def rate(self, times_ms: Column) -> Column | None:
        return np.where(self._is_batch(times_ms), self.intensity - 1, 0.0)

    def drop(self, requests: Requests) -> Mask | None:
        return ~self.active(requests) if requests.source == self.key else None

    def latency(self, requests: Requests) -> None:
        mask = self.active(requests) & self._is_batch(requests.times_ms.astype(np.float64))
        waiting = 1 + self.intensity / 10  # ten times the traffic doubles it
        requests.latency = np.where(mask, requests.latency * waiting, requests.latency)
        self.touch(mask)

    def _is_batch(self, times_ms: Column) -> Mask:
        since = times_ms - self.onset_ms
        found: Mask = (since >= 0) & (since % self.every_ms < BATCH_MS) & (times_ms < self.end_ms)
        return found

    def _check(self) -> None:
        super()._check()
        if self.every_ms <= BATCH_MS:
            raise ValueError("batch: every must be longer than 10m")


class Silence(Fault):
    kind = "silence"
    what = "a region, unit or producer (region=EU), or without a target all, sends nothing any more"
    target: ClassVar[Target] = "segment"

    def expected(self) -> tuple[Expected, ...]:
        return (Expected(("silence", "throughput"), ("fix_pipeline",), None, self.text.target),)

    def drop(self, requests: Requests) -> Mask | None:
        mask = self.active(requests)
        if self.text.target is not None:
            dimension, code = segment_code(self.text.target)
            mask &= requests.segments[dimension] == code
        return mask


class LabelsStop(Fault):
    kind = "labels_stop"
    what = "outcomes due from then on do not come"
    unit = "a share of them"
    default = 1.0

    def expected(self) -> tuple[Expected, ...]:
        kinds: tuple[Kind, ...] = ("label_delay", "silence")
        return (Expected(kinds, ("fix_pipeline",), None, self.segment),)

    def labels(self, requests: Requests) -> None:
        mask = _due(self, requests) & (requests.uniform("fault", self.key) < self.intensity)
        requests.labelled = requests.labelled & ~mask
        self.touch(mask)


class LabelDelay(Fault):
    kind = "label_delay"
    what = "outcomes due from then on are observed later"
    unit = "a factor of their delay, such as x3"
    default = 3.0
    bounds = (1.0, 1_000.0)

    def expected(self) -> tuple[Expected, ...]:
        actions: tuple[Action, ...] = ("fix_pipeline", "investigate")
        return (Expected(("label_delay",), actions, None, self.segment),)

    def labels(self, requests: Requests) -> None:
        mask = _due(self, requests)
        requests.delay = np.where(mask, requests.delay * self.intensity, requests.delay)
        self.touch(mask)


def _due(fault: Fault, requests: Requests) -> Mask:
    """The outcomes that would be observed while the fault lasts."""
    due_ms = requests.times_ms + requests.delay
    found: Mask = requests.labelled & (due_ms >= fault.onset_ms) & (due_ms < fault.end_ms)
    if fault.where is not None:
        dimension, code = fault.where
        found &= requests.segments[dimension] == code
    return found


KINDS: tuple[type[Fault], ...] = (
    Prediction, FalsePositives, Calibration, Latency, Throughput, Batch, Silence, LabelsStop,
    LabelDelay,
)  # fmt: skip
