"""How the brokers of the tests are found and started, without starting them."""

from __future__ import annotations

import socket

import pytest

from stream.broker import EmbeddedBroker
from tests.integration import kafka


def test_a_given_bootstrap_is_used_before_anything_is_looked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("LEEWAY_TEST_BOOTSTRAP", "broker:1234")
    monkeypatch.setattr(kafka, "docker_answers", lambda: pytest.fail("looked for Docker"))
    with kafka.real_kafka() as bootstrap:
        assert bootstrap == "broker:1234"


def test_where_nothing_can_be_had_each_cause_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LEEWAY_TEST_BOOTSTRAP", raising=False)
    monkeypatch.setattr(kafka, "docker_answers", lambda: False)
    monkeypatch.setattr(kafka, "_output_of", lambda *_: 'openjdk version "11.0.2"')
    with (
        pytest.raises(kafka.NoKafka, match=r"LEEWAY_TEST_BOOTSTRAP.*Docker.*Java 17"),
        kafka.real_kafka(),
    ):
        pytest.fail("there is a broker")


@pytest.mark.parametrize(
    ("said", "version"),
    [
        ('openjdk version "17.0.15" 2025-04-15', 17),
        ('java version "1.8.0_202"', 1),
        ('openjdk version "21" 2023-09-19', 21),
        ("command not found", 0),
        ("", 0),
    ],
)
def test_java_versions(said: str, version: int) -> None:
    assert kafka.java_version(said) == version


def test_the_container_advertises_the_port_that_clients_reach() -> None:
    environment = kafka.container_environment(29_092)
    assert environment["KAFKA_ADVERTISED_LISTENERS"] == "PLAINTEXT://127.0.0.1:29092"
    assert environment["KAFKA_LISTENERS"].startswith("PLAINTEXT://0.0.0.0:29092,CONTROLLER://")
    assert environment["KAFKA_PROCESS_ROLES"] == "broker,controller"
    assert environment["KAFKA_CONTROLLER_QUORUM_VOTERS"] == "1@127.0.0.1:29093"
    assert environment["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


@pytest.mark.embedded
def test_the_embedded_broker_is_gone_after_its_block() -> None:
    with EmbeddedBroker() as broker:
        host, port = broker.bootstrap.split(":")
        socket.create_connection((host, int(port)), timeout=5).close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((host, int(port)), timeout=5)
