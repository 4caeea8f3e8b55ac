"""The short form of `scripts/chaos traffic`."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from tests.chaos.play import Ground, traffic_ground
from tests.chaos.traffic import SCENARIOS
from tests.integration.kafka import NoKafka

pytestmark = pytest.mark.kafka


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    try:
        with traffic_ground(tmp_path_factory.mktemp("traffic")) as found:
            yield found
    except NoKafka as why:
        pytest.skip(str(why))


@pytest.mark.parametrize("name", SCENARIOS)
def test_alerts_and_ledger_equal_the_pipelines_within_bounded_memory(
    ground: Ground, name: str
) -> None:
    row = asyncio.run(SCENARIOS[name](ground))
    print(row.line())
    assert row.wrong == []
    assert row.figures["alerts"] >= 4
