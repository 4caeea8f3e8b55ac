"""`leeway explain`: an alert of a file, or of the alert topic."""

from __future__ import annotations

import asyncio
import logging
import shlex
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from stream.cli_output import USAGE, fail, tell
from stream.events import Alert
from stream.explain import UnknownAlertError, explained, find
from stream.journal import read_whole
from stream.settings import Settings


def explain(
    settings: Settings,
    wanted: str,
    *,
    alerts: Path | None,
    config: Path | None,
    predictions: list[Path],
    outcomes: list[Path],
) -> None:
    """Exit 2 where there is no such alert, or the file has something else than alerts."""
    try:
        values = _of_topic(settings) if alerts is None else alerts.read_bytes().splitlines()
        told = [msgspec.json.decode(value, type=Alert) for value in values if value]
        alert, incident = find(told, wanted)
    except (OSError, msgspec.DecodeError, UnknownAlertError) as error:
        raise fail(str(error), USAGE) from None
    command = _command(settings, alert, config, predictions, outcomes)
    for line in explained(alert, incident, history=predictions, command=command):
        tell(line)


def _of_topic(settings: Settings) -> list[bytes]:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our one line says it
    try:
        read = asyncio.run(read_whole(settings, settings.topics.alerts, 1))
    except (KafkaError, TimeoutError) as error:
        raise fail(f"{error!r}") from None
    return [value for _, value in read]


def _command(
    settings: Settings,
    alert: Alert,
    config: Path | None,
    predictions: list[Path],
    outcomes: list[Path],
) -> str:
    """What makes the alert again, byte for byte, from all that was there."""
    if predictions:
        sides = (
            *map(str, predictions),
            "--outcomes",
            *(map(str, outcomes) if outcomes else ["OUTCOMES"]),
        )
        history = ["--predictions", *sides]
    else:
        history = ["--bootstrap", settings.kafka.bootstrap]
    options = [] if config is None else ["-c", str(config)]
    words = ["leeway", "backtest", *history, *options, "--alerts", "again.ndjson"]
    return f"{shlex.join(words)} && grep {alert.id} again.ndjson"
