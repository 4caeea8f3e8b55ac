"""How the command line speaks: data to stdout, everything else to stderr, one line an error."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from stream.settings import Settings

FAILURE = 1
USAGE = 2


class Output(StrEnum):
    """Tables for people, JSON for programs."""

    text = "text"
    json = "json"


def say(message: str) -> None:
    """One line to stderr."""
    print(f"leeway: {message}", file=sys.stderr)


def tell(message: str) -> None:
    """One line to stdout."""
    print(message)


def fail(message: str, code: int = FAILURE) -> typer.Exit:
    """Says the message; `raise fail(…)` ends the command with this exit code."""
    say(message)
    return typer.Exit(code)


def must_be_writable(*paths: Path | None) -> None:
    """Before any work is done for them: exit 2 where the directory of one does not exist."""
    for path in filter(None, paths):
        if not path.parent.is_dir():
            raise fail(f"{path}: the directory does not exist", USAGE)


def load_settings(config: Path | None, overrides: Mapping[str, Any] | None = None) -> Settings:
    """The settings, or every fault of them on stderr and exit 2."""
    from stream.settings import SettingsError, load

    try:
        settings = load(config, overrides)
    except SettingsError as invalid:
        for error in invalid.errors:
            say(error)
        raise typer.Exit(USAGE) from None
    if settings.has_no_owner:
        say("no model is configured: every model is accepted and alerts have the owner unassigned")
    return settings


def print_json(data: Any) -> None:
    print(json.dumps(data, indent=2, ensure_ascii=False))


def print_rows(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table: rich's on a terminal, tab-separated lines (no headers, nothing cut) in a pipe."""
    if not sys.stdout.isatty():
        for row in rows:
            print("\t".join(row))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*map(Text, row))  # Text: a topic name is never markup
    Console().print(table)
