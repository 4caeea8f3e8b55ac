"""Whatever happens to the workers, the alerts, the ledger and the dead letters are the same."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.simulator.scenario import CALM, DEPLOYED, OF_ERRORS
from tests.simulator.sweep import Result, crash_everywhere, simulate, sweep
from tests.simulator.worker import Protocol

SEEDS = range(500)


def told(results: list[Result]) -> str:
    return "\n".join(result.told() for result in results if result.faults)


def test_500_seeds_of_faults_say_what_an_undisturbed_run_says() -> None:
    results = list(sweep(SEEDS))
    assert told(results) == ""
    happened = sum((result.happened for result in results), start=Counter())
    least = {
        "crash": 500,
        "zombie": 300,
        "zombie steps": 15_000,
        "rebalance": 1_000,
        "reclaims": 30,
        "heard ahead": 5_000,
        "join": 150,
        "starve": 150,
        "again": 150,
        "refused": 40,
        "slow": 150,
        "deaf": 60,
        "jump": 60,
        "sent again": 100,
        "compacted away": 100,
        "records twice": 300,
        "idle advances": 300,
        "alerts": 500,
        "performance alerts": 100,
        "resolved": 50,
        "repeated alerts": 150,
        "maturities": 60,
        "caps": 60,
        "shed": 80,
        "activations": 50,
        "accepted": 100,
        "notices": 100,
        "escalated": 100,
        "requests": 60,
        "renewals": 20,
        "ended by a renewal": 10,
        "against training": 20,
        "dead_lettered": 1_000,
        "duplicate": 1_000,
        "future": 300,
        "late": 1_000,
    }
    assert {what: happened[what] for what in least if happened[what] < least[what]} == {}


@pytest.mark.parametrize(
    ("name", "what"),
    [
        (CALM, {"resolved": 1}),
        (OF_ERRORS, {"performance alerts": 1}),
        (DEPLOYED, {"against training": 3}),
    ],
)
def test_a_crash_at_any_one_io_boundary_changes_nothing(name: str, what: dict[str, int]) -> None:
    results = list(crash_everywhere(1, name=name))
    assert len(results) > 100
    assert told(results) == ""
    assert all(r.happened["crash"] for r in results)
    # a crash before a renewal is journaled may let it come into force later
    as_calm = [r for r in results if what.items() <= r.happened.items()]
    assert len(as_calm) > (0.9 if name == DEPLOYED else 0.999) * len(results)
    assert len({result.trace for result in results}) == len(results)


def test_without_claiming_again_a_belated_claim_leaves_a_partition_to_nobody() -> None:
    """The simulator sees what it is there to see."""
    results = list(sweep(range(60), protocol=Protocol(reclaims=False)))
    assert "Stuck: not done" in told(results)


def test_without_saying_again_compaction_takes_what_was_said_in_time() -> None:
    """Of silences, where a former owner's word in vain has the same key."""
    results = list(sweep(range(20, 40), protocol=Protocol(says_again=False)))
    assert "journal: compaction has lost" in told(results)


def test_the_same_seed_does_the_same_and_another_does_not() -> None:
    first = simulate(7)
    assert first == simulate(7)
    assert first.trace != simulate(8).trace


def test_a_failing_seed_says_how_to_run_it_again() -> None:
    failed = Result("--seed 12", ["alerts: missing x"], "", 1, Counter())
    assert failed.told().splitlines()[0] == "python -m tests.simulator --seed 12"
