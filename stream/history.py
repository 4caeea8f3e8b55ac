"""What a backtest asks of a history, be it in files or on topics."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from stream.events import DeadLetter
from stream.pipeline import Pipeline
from stream.source_stage import Side

SIDES: tuple[Side, Side] = ("predictions", "outcomes")
BEFORE_ALL_MS = -(2**63)

Meter = Callable[[int, int | None], None]
"""Told how much was read more, and of how much in all (None: not known)."""


class HistoryError(Exception):
    """It cannot be read, through no fault of the command; the message says why."""


class History(Protocol):
    def feed(self, pipeline: Pipeline, meter: Meter) -> None:
        """All of it. Raises HistoryError; OSError and ValueError for what the command named."""

    def facts(self, pipeline: Pipeline) -> dict[str, Any]:
        """For the summary, once it was fed."""
        ...

    def remarks(self, facts: dict[str, Any]) -> list[str]:
        """What a person must know of it, a line each."""
        ...

    def place(self, letter: DeadLetter) -> dict[str, Any]:
        """Where a dead letter was found."""
        ...
