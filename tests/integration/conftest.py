"""Brokers for the integration tests; what they need beyond Python is found or skipped, and said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from stream.broker import EmbeddedBroker
from tests.integration.kafka import NoKafka, real_kafka


@pytest.fixture(scope="session")
def kafka() -> Iterator[str]:
    """The address of a real Apache Kafka; without one the test is skipped (in CI: a failure)."""
    with ExitStack() as stack:
        try:
            bootstrap = stack.enter_context(real_kafka())
        except NoKafka as why:
            pytest.skip(str(why))
        yield bootstrap


@pytest.fixture
def embedded() -> Iterator[str]:
    with EmbeddedBroker() as broker:
        yield broker.bootstrap
