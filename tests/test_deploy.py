"""docker-compose.yml and its files agree with each other and with the code."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from stream.settings import load

ROOT = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]


def compose_command() -> list[str] | None:
    for command in (["docker", "compose"], ["docker-compose"]):
        if shutil.which(command[0]):
            run = subprocess.run([*command, "version"], capture_output=True, check=False)
            if run.returncode == 0:
                return command
    return None


def test_docker_compose_accepts_the_file() -> None:
    command = compose_command()
    if command is None:
        pytest.skip(
            "docker compose is not installed; the other tests here read the file themselves"
        )
    run = subprocess.run(
        [*command, "-f", "docker-compose.yml", "config", "--quiet"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr


@pytest.mark.parametrize("name", ["topics", "worker"])
def test_the_services_configuration_is_valid_and_reaches_the_kafka_service(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in os.environ:
        if variable.startswith("LEEWAY_"):
            monkeypatch.delenv(variable)
    for variable, value in SERVICES[name]["environment"].items():
        monkeypatch.setenv(variable, value)
    mounts = dict(mount.split(":")[1::-1] for mount in SERVICES[name]["volumes"])
    command = SERVICES[name]["command"]
    settings = load(ROOT / mounts[command[command.index("-c") + 1]])
    advertised = SERVICES["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert f"INTERNAL://{settings.kafka.bootstrap}" in advertised.split(",")
    assert settings.web.host == "0.0.0.0"


def test_the_worker_starts_only_after_the_topics_are_there() -> None:
    assert "--apply" in SERVICES["topics"]["command"]
    assert SERVICES["worker"]["depends_on"]["topics"]["condition"] == (
        "service_completed_successfully"
    )
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"


def test_kafka_is_version_4_without_zookeeper() -> None:
    assert SERVICES["kafka"]["image"].startswith("apache/kafka:4.")
    assert set(SERVICES) == {"kafka", "topics", "worker", "prometheus"}


def test_published_ports_are_on_loopback_only() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert ports
    assert all(port.startswith("127.0.0.1:") for port in ports)


def test_prometheus_scrapes_the_workers_port() -> None:
    text = (ROOT / "deploy/prometheus/prometheus.yml").read_text(encoding="utf-8")
    (job,) = yaml.safe_load(text)["scrape_configs"]
    (target,) = job["dns_sd_configs"]
    assert target["names"] == ["worker"]
    assert str(target["port"]) == SERVICES["worker"]["environment"]["LEEWAY_WEB__PORT"]


def test_every_file_that_a_service_mounts_is_in_the_repository() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    local = [mount.split(":")[0] for mount in mounts if mount.startswith("./")]
    assert local
    assert all((ROOT / path).is_file() for path in local)


def test_the_image_runs_as_no_root_from_the_lock() -> None:
    lines = (ROOT / "deploy/Dockerfile").read_text(encoding="utf-8").splitlines()
    (user,) = [line for line in lines if line.startswith("USER")]
    assert user.split()[1] not in {"0", "root"}
    assert any("--require-hashes" in line for line in lines)


def test_the_image_has_the_versions_that_are_tested() -> None:
    def versions(path: str) -> set[str]:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        return {line.rstrip(" \\") for line in lines if line and line[0].isalnum()}

    image = versions("deploy/requirements.lock")
    assert any(line.startswith("faust-streaming==") for line in image)
    assert not any(line.startswith(("pytest==", "mypy==")) for line in image)
    assert image <= versions("requirements.lock")
