"""`leeway skew`: what a model was given beside what is computed offline, by prediction id."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from stream.backtest_files import chunks
from stream.cli_output import FAILURE, USAGE, Output, fail, load_settings, print_json, say, tell
from stream.history import HistoryError
from stream.settings import Settings
from stream.skew import Refused, Skew, compare, lines, offline_of, predictions_of
from stream.times import moment_ms


@dataclass(frozen=True, slots=True)
class Given:
    """Where the two sides are, each in files or on a topic, as it was written; None: left out."""

    predictions: list[Path] | None
    predictions_topic: str | None
    offline: list[Path] | None
    offline_topic: str | None
    from_: str | None
    to: str | None


def skew(
    given: Given,
    config: Path | None,
    overrides: Mapping[str, Any],
    *,
    role: str,
    share: float,
    near: float,
    output: Output,
) -> None:
    """Exit 1 if a feature is skewed, or nothing could be compared."""
    from_ms, to_ms = _check(given)
    has_topic = given.predictions_topic is not None or given.offline_topic is not None
    settings = load_settings(config, overrides) if has_topic else None
    refused = {"predictions": Refused(), "offline": Refused()}
    try:
        offline = offline_of(
            _values(given.offline, given.offline_topic, settings), refused["offline"]
        )
        online = _values(given.predictions, given.predictions_topic, settings, from_ms, to_ms)
        found = compare(
            predictions_of(online, refused["predictions"]), offline, role=role, near=near
        )
    except HistoryError as error:
        raise fail(str(error)) from None
    except (OSError, ValueError) as error:
        raise fail(str(error), USAGE) from None
    for side, what in (("predictions", "predictions"), ("offline", "offline values")):
        of = refused[side]
        if of.count:
            say(f"dead letters: {of.count:,} records are no {what}; the first: {of.why}")
    if not found.matched:
        raise fail("no prediction id is on both sides")
    _show(found, {side: of.count for side, of in refused.items()}, share, output)
    if found.beyond(share):
        raise typer.Exit(FAILURE)


def _check(given: Given) -> tuple[int | None, int | None]:
    """The bounds; what does not go together is exit 2."""
    for name, files, topic in (
        ("predictions", given.predictions, given.predictions_topic),
        ("offline", given.offline, given.offline_topic),
    ):
        if (files is None) == (topic is None):
            raise fail(f"give one of --{name} and --{name}-topic", USAGE)
    if given.predictions_topic is None and (given.from_, given.to) != (None, None):
        raise fail("--from and --to: only with --predictions-topic", USAGE)
    try:
        from_ms, to_ms = (
            None if text is None else moment_ms(text) for text in (given.from_, given.to)
        )
    except ValueError as error:
        raise fail(str(error), USAGE) from None
    return from_ms, to_ms


def _values(
    paths: list[Path] | None,
    topic: str | None,
    settings: Settings | None,
    from_ms: int | None = None,
    to_ms: int | None = None,
) -> Iterator[bytes]:
    if topic is not None and settings is not None:
        from stream.topic_values import topic_values

        yield from topic_values(settings, topic, from_ms=from_ms, to_ms=to_ms)
        return
    for chunk in chunks(paths or [], 1, None):
        for records in chunk:
            yield from (value for value in records.values if value)


def _show(found: Skew, dead_letters: Mapping[str, int], share: float, output: Output) -> None:
    if output is not Output.json:
        for line in lines(found, share):
            tell(line)
        return
    print_json(
        {
            "matched": found.matched,
            "only_offline": found.only_offline,
            "only_online": found.only_online,
            "twice": found.twice,
            "dead_letters": dict(dead_letters),
            "skewed": [feature.name for feature in found.beyond(share)],
            "features": [feature.facts() for feature in found.features],
        }
    )
