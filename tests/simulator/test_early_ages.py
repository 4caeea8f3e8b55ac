"""Early ages, borne out or refuted, are learned by all whatever happens to the workers: what is
judged, and compared, is that of an undisturbed run."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from stream import early_maturity
from stream.rules import ModelRule, ReferenceRule, ShadowRule
from tests.simulator.events import TINY
from tests.simulator.scenario import Scenario, scenario_of
from tests.simulator.simulation import Simulation
from tests.simulator.slot import MODELS
from tests.simulator.verdict import faults_of
from tests.streams import Event, dealt, outcome, prediction, with_maturity

SEEDS = range(16)
SPAN_MS, START_MS = 9_000, 10_000


def drawn(random: Random, *, is_refuted: bool) -> tuple[list[Event], list[Event]]:
    """Champions with shadows; most labels come soon, or those of the first half span do."""
    predictions, outcomes, now = [], [], START_MS
    for n in range(120):
        now += random.randint(0, 300)
        made = prediction(f"p{n}", now, features={"x": random.gauss(0.0, 1.0)}, _arrival=now)
        predictions.append(made)
        if random.random() < 0.7:
            at_ms = now + random.choice((0, 0, 900))
            said = {"label": random.choice(("yes", "no"))}
            twin = {"role": "shadow", "model_version": "2", "prediction": said}
            predictions.append({**made, **twin, "predicted_at": at_ms, "_arrival": at_ms})
        is_slow = is_refuted and now > START_MS + SPAN_MS // 2
        at_ms = now + (3_000 if is_slow else random.randint(0, 300))
        label = {"label": random.choice(("yes", "yes", "no"))}
        outcomes.append(outcome(f"p{n}", at_ms, actual=label, _arrival=at_ms))
    return predictions, outcomes


def scenario(seed: int, random: Random) -> Scenario:
    rules = replace(
        with_maturity(TINY, "auto"),
        grace_ms=random.choice((500, 1_000)),
        reference=ReferenceRule(predictions=8, span_ms=random.choice((SPAN_MS, SPAN_MS + 500))),
        models={"m": ModelRule(shadow=ShadowRule(margin=0.0, alpha=0.5))},
    )
    stream = dealt(*drawn(random, is_refuted=bool(seed % 2)), random.choice((1, 2, 3)))
    made = scenario_of(f"early {seed}", random, rules, stream, random.choice((None, 1.0)))
    return replace(made, workers=random.randint(1, 3), faults=random.randint(2, 8), repeat=0.03)


def test_early_ages_are_those_of_an_undisturbed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(early_maturity, "FIRST", 4)
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        random = Random(f"early ages {seed}")
        run = Simulation(scenario(seed, random), random).run()
        assert faults_of(run) == [], seed
        happened += run.happened
        cores = [slot.core for slot in run.slots.values() if slot.stage == MODELS]
        entries = [entry for core in cores for entry in core.decisions()]
        happened["early"] += sum(entry.until_ms is not None for entry in entries)
        happened["decided"] += sum(entry.until_ms is None for entry in entries)
    assert happened["early"] > happened["decided"] + 3
    assert happened["decided"] > 3
    assert happened["compared"] >= len(SEEDS)
    assert happened["zombie"] >= 5
    assert happened["crash"] >= 10
