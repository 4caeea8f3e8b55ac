"""`leeway explain`: an alert of a file, or of the alert topic."""

from __future__ import annotations

import asyncio
import logging
import shlex
from collections.abc import Iterator
from pathlib import Path

import msgspec
from aiokafka.errors import KafkaError

from stream.alert_lines import epoch_ms
from stream.backtest_files import chunks
from stream.cli_output import USAGE, fail, tell
from stream.events import Alert
from stream.explain import UnknownAlertError, explained, find
from stream.explain_series import bounds_ms, drawn
from stream.history import HistoryError
from stream.journal import read_whole
from stream.rules import HOUR_MS
from stream.settings import Settings
from stream.topic_values import topic_values


def explain(
    settings: Settings,
    wanted: str,
    *,
    alerts: Path | None,
    config: Path | None,
    predictions: list[Path],
    outcomes: list[Path],
) -> None:
    """The series is drawn from the files; from the topics, where the alert is of one. Exit 2 where
    there is no such alert, or the file has something else."""
    try:
        values = _of_topic(settings) if alerts is None else alerts.read_bytes().splitlines()
        told = [msgspec.json.decode(value, type=Alert) for value in values if value]
        alert, incident = find(told, wanted)
    except (OSError, msgspec.DecodeError, UnknownAlertError) as error:
        raise fail(str(error), USAGE) from None
    command = _command(settings, alert, told, config, predictions, outcomes)
    series: Iterator[str] = iter(())
    if predictions:
        sides = (_of_files(predictions), _of_files(outcomes))
        series = drawn(alert, *sides, settings.rules())
    elif alerts is None:
        series = drawn(alert, *_of_topics(settings, alert), settings.rules())
    for line in explained(alert, incident, series=_if_readable(series), command=command):
        tell(line)


def _if_readable(series: Iterator[str]) -> Iterator[str]:
    """All else is known without it."""
    try:
        yield from series
    except (HistoryError, OSError, ValueError) as error:
        yield f"  series      not drawn: {error}"


def _of_files(paths: list[Path]) -> Iterator[bytes | None]:
    for chunk in chunks(paths, 1, None):
        for records in chunk:
            yield from records.values


def _of_topics(settings: Settings, alert: Alert) -> tuple[Iterator[bytes], Iterator[bytes]]:
    """By the timestamps of records: those written when the series was, and the outcomes until the
    alert was evaluated."""
    first_ms, end_ms = bounds_ms(alert)
    topics, late_ms = settings.topics, settings.rules().grace_ms + HOUR_MS
    until_ms = epoch_ms(alert.evaluated_at) + late_ms
    return (
        topic_values(settings, topics.predictions, from_ms=first_ms, to_ms=end_ms + late_ms),
        topic_values(settings, topics.outcomes, from_ms=first_ms, to_ms=until_ms),
    )


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
    told: list[Alert],
    config: Path | None,
    predictions: list[Path],
    outcomes: list[Path],
) -> str:
    """What makes the alert again, byte for byte, from all that was there. Of topics the journal has
    the references that were deployed; beside files each version's are to be given again."""
    if predictions:
        sides = (
            *map(str, predictions),
            "--outcomes",
            *(map(str, outcomes) if outcomes else ["OUTCOMES"]),
        )
        history = ["--predictions", *sides]
        history += ["--reference", "REFERENCE"] * len(set(_with_reference(told)))
    else:
        history = ["--bootstrap", settings.kafka.bootstrap]
    options = [] if config is None else ["-c", str(config)]
    words = ["leeway", "backtest", *history, *options, "--alerts", "again.ndjson"]
    return f"{shlex.join(words)} && grep {alert.id} again.ndjson"


def _with_reference(told: list[Alert]) -> Iterator[tuple[str, str]]:
    """Versions with a reference that was deployed, as far as what was told says so."""
    for one in told:
        if "source" in one.evidence.get("reference", {}):
            yield one.model.id, one.model.version
