"""`leeway skew`: what a model was given beside what is computed offline, by prediction id."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import typer

from stream.backtest_files import chunks
from stream.cli_output import FAILURE, USAGE, Output, fail, print_json, say, tell
from stream.events import Prediction
from stream.skew import UnreadableError, compare, lines, offline_of


def skew(
    predictions: list[Path],
    offline: list[Path],
    *,
    role: str,
    share: float,
    near: float,
    output: Output,
) -> None:
    """Exit 1 if a feature is skewed, or nothing could be compared."""
    unreadable: list[bytes] = []
    try:
        found = compare(
            _predictions(predictions, unreadable),
            offline_of(_values(offline)),
            role=role,
            near=near,
        )
    except (OSError, ValueError, UnreadableError) as error:
        raise fail(str(error), USAGE) from None
    if unreadable:
        say(f"{len(unreadable):,} lines are no predictions")
    if not found.matched:
        raise fail("no prediction id is on both sides")
    skewed = found.beyond(share)
    if output is Output.json:
        print_json(
            {
                "matched": found.matched,
                "only_offline": found.only_offline,
                "only_online": found.only_online,
                "twice": found.twice,
                "skewed": [feature.name for feature in skewed],
                "features": [feature.facts() for feature in found.features],
            }
        )
    else:
        for line in lines(found, share):
            tell(line)
    if skewed:
        raise typer.Exit(FAILURE)


def _values(paths: list[Path]) -> Iterator[bytes]:
    for chunk in chunks(paths, 1, None):
        for records in chunk:
            yield from (value for value in records.values if value)


def _predictions(paths: list[Path], unreadable: list[bytes]) -> Iterator[Prediction]:
    decoder = msgspec.json.Decoder(Prediction)
    for value in _values(paths):
        try:
            yield decoder.decode(value)
        except (msgspec.DecodeError, RecursionError, UnicodeDecodeError):
            unreadable.append(value[:1])
