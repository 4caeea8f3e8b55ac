"""The short form of `scripts/chaos kafka`, and what the schedule of faults promises."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from tests.chaos.faults import KINDS, drawn
from tests.chaos.feed import Stream
from tests.chaos.kills import run_kills, table
from tests.integration.kafka import NoKafka


def test_the_first_faults_are_one_of_each_kind_and_a_seed_draws_the_same_ones() -> None:
    faults = list(drawn(Random(5), 200))
    assert set(faults[: len(KINDS)]) == set(KINDS)
    assert len(faults) == 200
    assert faults == list(drawn(Random(5), 200))
    assert faults != list(drawn(Random(6), 200))
    assert min(Counter(faults)[kind] for kind in KINDS) >= 10


def test_the_stream_of_a_seed_is_the_same_however_it_is_taken() -> None:
    whole, parts = Stream(3), Stream(3)
    taken = [message for _ in range(10) for message in parts.take(30)]
    assert whole.take(300) == taken
    assert whole.rest() == parts.rest()
    assert whole.end_ms == parts.end_ms


@pytest.mark.kafka
def test_workers_and_broker_killed_at_random_say_what_the_undisturbed_pipeline_says(
    tmp_path: Path,
) -> None:
    try:
        run = asyncio.run(run_kills(seed=5, kills=5, folder=tmp_path))
    except NoKafka as why:
        pytest.skip(str(why))
    print("\n".join(table(run)))
    assert run.judgement.wrong == []
    assert run.done == dict.fromkeys(sorted(KINDS), 1)
    figures = run.judgement.figures
    assert figures["events"] == figures["sent"] > 1_000
    assert figures["alerts"] >= 4
    assert figures["claims"] > 7, "partitions changed hands"
