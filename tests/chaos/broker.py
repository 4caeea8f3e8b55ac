"""The broker of the chaos runs: one that can be killed, and that can be reached through a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from random import Random

from stream.broker import free_port
from tests.integration.java_broker import JavaBroker, java_broker
from tests.integration.kafka import (
    NoKafka,
    cache_dir,
    kafka_jars,
    lacking_for_java,
    settings_of_broker,
)

_LISTENABLE = range(20_000, 32_000)  # below what outgoing connections take (Linux: from 32,768)


def lasting_port() -> int:
    """A free port that stays free while the broker is away: a client that tries to connect to an
    ephemeral port may be given that very port, and be connected to itself."""
    import socket

    for port in Random().sample(_LISTENABLE, 100):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise OSError(f"no free port in {_LISTENABLE}")


@contextmanager
def killable_kafka(ways: tuple[int, int] | None = None) -> Iterator[JavaBroker]:
    """A broker of Java; raises NoKafka. `ways`: the port of a proxy, and the one to which that
    hands on: whoever comes by this way is told to come back by it."""
    lacking = lacking_for_java()
    if lacking:
        raise NoKafka(f"a broker that can be killed needs Java 17 and Maven: {lacking}")
    port = lasting_port()
    settings = settings_of_broker(port, free_port())
    # What is compacted is compacted while a run of minutes lasts.
    settings["log.cleaner.backoff.ms"] = "5000"
    settings["log.initial.task.delay.ms"] = "5000"
    if ways is not None:
        proxy_port, proxied = ways
        settings["listeners"] += f",PROXIED://127.0.0.1:{proxied}"
        settings["advertised.listeners"] += f",PROXIED://127.0.0.1:{proxy_port}"
        settings["listener.security.protocol.map"] += ",PROXIED:PLAINTEXT"
    with java_broker(kafka_jars(cache_dir()), port, settings) as broker:
        yield broker
