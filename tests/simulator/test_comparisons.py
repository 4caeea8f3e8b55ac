"""What is compared between roles is the same whatever happens to the workers: each pair once, each
subject once."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

from stream.rules import ExperimentRule, ModelRule, ShadowRule
from tests.simulator.events import TINY
from tests.simulator.scenario import Scenario, scenario_of
from tests.simulator.simulation import Simulation
from tests.simulator.verdict import faults_of
from tests.streams import Event, dealt, outcome, prediction, with_maturity

SEEDS = range(20)
ROLES = ("champion", "champion", "control", "treatment")
EXPERIMENT = ExperimentRule("x", ("control", "treatment"), (0.5, 0.5), span_ms=5_000)


def drawn(random: Random) -> tuple[list[Event], list[Event]]:
    """Champions with shadows that say otherwise, and variants dealt to customers."""
    predictions, outcomes, now = [], [], 10_000
    for n in range(45):
        now += random.randint(0, 600)
        customer = random.randrange(12)
        role = ROLES[customer % len(ROLES)]
        features: dict[str, Any] = {"x": random.gauss(0.0, 1.0), "customer": f"c{customer}"}
        made = prediction(f"p{n}", now, role=role, features=features, _arrival=now)
        predictions.append(made)
        if role == "champion" and random.random() < 0.7:
            at_ms = now + random.choice((0, 0, 900, 1_700))
            said = {"label": random.choice(("yes", "no"))}
            twin = {"role": "shadow", "model_version": "2", "prediction": said}
            predictions.append({**made, **twin, "predicted_at": at_ms, "_arrival": at_ms})
        if random.random() < 0.8:
            at_ms = now + random.randint(0, 4_000)
            label = {"label": random.choice(("yes", "yes", "no"))}
            outcomes.append(outcome(f"p{n}", at_ms, actual=label, _arrival=at_ms))
    return predictions, outcomes


def scenario(seed: int, random: Random) -> Scenario:
    rule = ModelRule(
        subject=random.choice(("customer", None)),
        experiments=(EXPERIMENT,),
        shadow=ShadowRule(margin=0.0, alpha=0.5),
    )
    rules = with_maturity(replace(TINY, models={"m": rule}), random.choice(("auto", 3_000)))
    stream = dealt(*drawn(random), random.choice((1, 2, 3)))
    made = scenario_of(f"compared {seed}", random, rules, stream, random.choice((None, 1.0)))
    return replace(made, workers=random.randint(1, 3), faults=random.randint(2, 8), repeat=0.03)


def test_comparisons_are_those_of_an_undisturbed_run() -> None:
    happened: Counter[str] = Counter()
    for seed in SEEDS:
        random = Random(f"comparisons {seed}")
        run = Simulation(scenario(seed, random), random).run()
        assert faults_of(run) == [], seed
        happened += run.happened
    assert happened["compared"] >= len(SEEDS)
    assert happened["zombie"] >= 5
    assert happened["crash"] >= 10
