"""The terminal: a progress bar with the alerts above it; without a terminal the alerts alone."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)
from rich.text import Text


@dataclass(frozen=True, slots=True)
class Screen:
    _console: Console
    _progress: Progress
    _events: TaskID

    def say(self, line: str) -> None:
        """One line of output, above the bar."""
        self._console.print(Text(line), soft_wrap=True)

    def at(self, consumed: int) -> None:
        """Moves the bar to so many events."""
        self._progress.update(self._events, completed=consumed)


@contextmanager
def screen(events: int) -> Iterator[Screen]:
    console = Console(highlight=False)
    progress = Progress(
        TextColumn("events"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with progress:
        yield Screen(console, progress, progress.add_task("events", total=events))
