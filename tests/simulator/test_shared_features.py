"""What models say of a feature together is the same whatever happens to the workers: each hour of
each model is added once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from random import Random
from unittest import mock

from stream import shared_sums, shared_watch
from stream.rules import AdwinRule, FloorRule, RateRule, ReferenceRule
from tests.simulator.events import TINY
from tests.simulator.scenario import Scenario, scenario_of
from tests.simulator.simulation import Simulation
from tests.simulator.verdict import faults_of
from tests.streams import Stream, dealt, prediction, run

MODELS = ("m", "n", "o")
SEEDS = range(8)
EACH, MOVED, GAP_MS = 200, 140, 250
RULES = replace(
    TINY,
    maturity=None,
    adwin=AdwinRule(),
    rates=RateRule(enabled=False),
    reference=ReferenceRule(40, 1_000),
    floors=FloorRule(shift=2.5, shape=0.9),
    resolve_values=30,
    joint=replace(TINY.joint, enabled=False),
    shared=(("x", MODELS),),
)


@contextmanager
def short_hours() -> Iterator[None]:
    """Of two seconds, eight of which are enough to know how they depend."""
    with ExitStack() as patched:
        patched.enter_context(mock.patch.object(shared_sums, "HOUR_MS", 2_000))
        patched.enter_context(mock.patch.object(shared_watch, "GATHERED", 8))
        yield


def stream_of(random: Random, partitions: int) -> Stream:
    """All move by less than each of them may tell."""
    events = []
    for n in range(EACH):
        for model in MODELS:
            at_ms = 10_000 + n * GAP_MS + random.randrange(GAP_MS)
            x = random.gauss(1.7 if n >= MOVED else 0.0, 1.0)
            made = prediction(f"{model}{n}", at_ms, model_id=model, features={"x": x})
            events.append({**made, "_arrival": at_ms})
    return dealt(sorted(events, key=lambda event: event["_arrival"]), [], partitions)


def scenario(seed: int, random: Random) -> Scenario:
    stream = stream_of(Random(f"shared {seed}"), random.choice((1, 2, 3)))
    made = scenario_of(f"shared {seed}", random, RULES, stream, random.choice((None, 1.0)))
    return replace(made, workers=random.randint(1, 3), faults=random.randint(2, 8), repeat=0.03)


def test_shared_features_are_those_of_an_undisturbed_run() -> None:
    happened: Counter[str] = Counter()
    told = 0
    with short_hours():
        for seed in SEEDS:
            random = Random(f"shared features {seed}")
            made = scenario(seed, random)
            alerts = run(made.rules, made.stream, largest=500).alerts
            told += any(a.alert.alertname == "SharedFeatureDrift" for a in alerts)
            simulated = Simulation(made, random).run()
            assert faults_of(simulated) == [], seed
            happened += simulated.happened
    assert told >= 3
    assert happened["crash"] >= 5
    assert happened["zombie"] >= 2
