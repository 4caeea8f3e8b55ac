"""`leeway backtest`: which history the options name, and what does not go together."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stream.backtest import Wanted, run
from stream.cli_output import USAGE, fail, load_settings, must_be_writable
from stream.history import History
from stream.reference_files import read_references
from stream.settings import Settings
from stream.times import moment_ms


@dataclass(frozen=True, slots=True)
class Given:
    """The options that name a history, as they were written; None: left out."""

    predictions: list[Path] | None
    outcomes: list[Path] | None
    bootstrap: str | None
    from_: str | None
    to: str | None
    from_checkpoint: str | None
    journal: Path | None
    timestamp_column: str | None
    references: list[Path] | None = None


def backtest(
    config: Path | None,
    overrides: Mapping[str, Any],
    given: Given,
    wanted: Wanted,
) -> int:
    """The exit code; what is wrong with the options is exit 2, before anything is read."""
    _check(given)
    settings = load_settings(config, overrides)
    must_be_writable(wanted.alerts, wanted.summary, wanted.actions)
    try:
        history = _history(settings, given)
    except (OSError, ValueError) as error:
        raise fail(str(error), USAGE) from None
    return run(settings, history, wanted)


def _check(given: Given) -> None:
    files = {"--predictions": given.predictions, "--outcomes": given.outcomes}
    bounds = {"--from": given.from_, "--to": given.to, "--from-checkpoint": given.from_checkpoint}
    if given.bootstrap is not None:
        _reject(files | {"--timestamp-column": given.timestamp_column}, "not with --bootstrap")
        if given.from_ is not None:
            _reject({"--from-checkpoint": given.from_checkpoint}, "not with --from")
        return
    for name, value in files.items():
        if value is None:
            raise fail(f"Missing option '{name}' (or --bootstrap).", USAGE)
    _reject(bounds, "only with --bootstrap")


def _reject(options: Mapping[str, Any], why: str) -> None:
    for name, value in options.items():
        if value is not None:
            raise fail(f"{name}: {why}", USAGE)


def _history(settings: Settings, given: Given) -> History:
    deployed = [one for path in given.references or () for one in read_references(path)]
    if given.bootstrap is None:
        from stream.backtest_files import FileHistory

        return FileHistory(
            given.predictions or [],
            given.outcomes or [],
            timestamp_field=given.timestamp_column,
            journal=given.journal,
            deployed=deployed,
        )
    from stream.backtest_topics import TopicHistory

    return TopicHistory(
        settings,
        from_ms=_moment_ms(given.from_),
        to_ms=_moment_ms(given.to),
        checkpoint_ms=_moment_ms(given.from_checkpoint),
        journal=given.journal,
        deployed=deployed,
    )


def _moment_ms(text: str | None) -> int | None:
    return None if text is None else moment_ms(text)
