"""A real Apache Kafka 4 (KRaft) for the tests, from whatever this machine has.

In this order: LEEWAY_TEST_BOOTSTRAP; Docker; Java 17 with Maven, which fetches the broker once into
a cache (LEEWAY_TEST_KAFKA_CACHE, else ~/.cache/leeway). Otherwise there is none, and why is said.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcontainers.core.container import DockerContainer

from stream.broker import free_port
from tests.integration.java_broker import java_broker

VERSION = "4.0.0"
IMAGE = f"apache/kafka:{VERSION}"
_POM = Path(__file__).with_name("pom.xml")
_START_S = 60.0
_FETCH_S = 600.0
_NEEDED_JAVA = 17


class NoKafka(Exception):
    """No real Kafka can be had here; the message says why, one cause per way."""


@contextmanager
def real_kafka() -> Iterator[str]:
    """The bootstrap address of a real Kafka, which ends with the block. Raises NoKafka."""
    given = os.environ.get("LEEWAY_TEST_BOOTSTRAP")
    if given:
        yield given
    elif docker_answers():
        with docker_kafka() as bootstrap:
            yield bootstrap
    else:
        lacking = lacking_for_java()
        if lacking:
            raise NoKafka(f"LEEWAY_TEST_BOOTSTRAP is not set, no Docker engine, {lacking}")
        port, controller_port = free_port(), free_port()
        settings = settings_of_broker(port, controller_port)
        with java_broker(kafka_jars(cache_dir()), port, settings) as broker:
            yield broker.bootstrap


def settings_of_broker(
    port: int, controller_port: int, *, bind: str = "127.0.0.1"
) -> dict[str, str]:
    """One node, broker and controller in one, for clients on this machine's loopback."""
    return {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@127.0.0.1:{controller_port}",
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://{bind}:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "inter.broker.listener.name": "PLAINTEXT",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.num.partitions": "1",
        "transaction.state.log.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        "auto.create.topics.enable": "false",
    }


# -- Docker


class ApacheKafkaContainer(DockerContainer):
    """`apache/kafka` listening on the host port it advertises.

    testcontainers' own `with_kraft()` cannot start this image. Host and container port are the
    same, because what a broker advertises must be known before it starts.
    """

    def __init__(self, port: int, image: str = IMAGE) -> None:
        super().__init__(image)
        for name, value in container_environment(port).items():
            self.with_env(name, value)
        self.with_bind_ports(port, port)


def container_environment(port: int) -> dict[str, str]:
    """The broker's settings as the image reads them: KAFKA_, dots as underscores."""
    settings = settings_of_broker(port, port + 1 if port < 65_535 else port - 1, bind="0.0.0.0")
    return {f"KAFKA_{key.upper().replace('.', '_')}": value for key, value in settings.items()}


def docker_answers() -> bool:
    """Whether a Docker engine answers; a client alone is not enough."""
    if shutil.which("docker") is None:
        return False
    try:
        probe = subprocess.run(
            ["docker", "info", "--format", "{{.ID}}"], capture_output=True, timeout=20, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return probe.returncode == 0 and bool(probe.stdout.strip())


@contextmanager
def docker_kafka() -> Iterator[str]:
    port = free_port()
    with ApacheKafkaContainer(port) as container:
        deadline = time.monotonic() + _START_S
        while b"Kafka Server started" not in container.get_logs()[0]:
            if time.monotonic() > deadline:
                raise RuntimeError(f"{IMAGE} did not start: {container.get_logs()}")
            time.sleep(0.2)
        yield f"127.0.0.1:{port}"


# -- Java


def lacking_for_java() -> str:
    """What is missing to run Kafka as a Java program; empty if nothing is."""
    version = java_version(_output_of("java", "-version"))
    if version < _NEEDED_JAVA:
        return f"no Java {_NEEDED_JAVA}"
    if not (cache_dir() / "complete").exists() and shutil.which("mvn") is None:
        return "no Maven"
    return ""


def java_version(said: str) -> int:
    """The major version of `java -version`'s answer; 0 if it is none."""
    found = re.search(r'version "(\d+)', said)
    return int(found[1]) if found else 0


def _output_of(*command: str) -> str:
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return run.stdout + run.stderr


def cache_dir() -> Path:
    given = os.environ.get("LEEWAY_TEST_KAFKA_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "leeway" / f"kafka-{VERSION}"


def kafka_jars(cache: Path) -> Path:
    """The folder of Kafka's jars, fetched by Maven the first time."""
    if (cache / "complete").exists():
        return cache
    cache.mkdir(parents=True, exist_ok=True)
    command = ["mvn", "-q", "-B", "-f", str(_POM), "dependency:copy-dependencies"]
    command += ["-DincludeScope=runtime", f"-DoutputDirectory={cache}"]
    run = subprocess.run(
        command, capture_output=True, text=True, timeout=_FETCH_S, check=False, cwd=cache
    )
    if run.returncode != 0:
        raise NoKafka(f"Maven could not fetch Kafka: {run.stdout[-500:]}{run.stderr[-500:]}")
    (cache / "complete").touch()
    return cache
