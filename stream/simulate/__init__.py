"""Models in production, simulated: traffic, versions, labels, and the faults one chooses.

    scripts/simulate OUT --model fraud --rate 10/s --days 30 --fault null:amount@20d,30%

For tests: `simulate(Spec(...))` yields the events by arrival; `Simulation` also knows the truth.
Read in this order: draws, traffic, features, relation, model, fraud, pricing, population,
requests, deployment, fault and faults_*, model_run, simulation.
"""

from stream.simulate.simulation import Simulation, simulate
from stream.simulate.spec import Spec, SpecError

__all__ = ["Simulation", "Spec", "SpecError", "simulate"]
