"""`leeway config`, `leeway reference accept` and `deploy`: what is announced to a running app."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

from aiokafka.errors import KafkaError

from stream import control
from stream.cli_output import USAGE, Output, fail, print_json, print_rows, say
from stream.deployment import Deployment
from stream.journal import Journal, read_whole
from stream.kafka_admin import AdminError
from stream.reference_files import read_references
from stream.renewals import Renewal
from stream.rule_book import ConfigChange, RefusedConfigError, RuleBook
from stream.settings import Settings
from stream.times import iso, moment_ms
from stream.wire import LARGEST_RECORD_BYTES, decode_journal
from stream.worker_configs import publish


def activate(settings: Settings, at: str | None) -> None:
    """Announces; exit 1 and nothing announced where the configuration cannot follow."""
    at_ms = _at_ms(at)
    change = ConfigChange(at_ms, settings.rules())
    config_hash = change.rules.config_hash()
    book, changes, _ = _run(_read(settings))
    if book is None:
        say("no worker of this app has run yet: the first one begins with its own configuration")
        raise fail("nothing to change: start the worker with this configuration")
    if book_hash(book, changes) == config_hash:
        say(f"config {config_hash} is the last one announced already: nothing to do")
        return
    try:
        book.announce(change)
    except RefusedConfigError as error:
        raise fail(str(error)) from None
    publish_now(settings, change.encode())
    say(f"announced config {config_hash}, in force from {iso(at_ms)} on")


def accept(settings: Settings, model_id: str, version: str | None, at: str | None) -> None:
    """Announces that a new reference of the model is to be gathered."""
    if not settings.rules().knows(model_id) or not model_id or version == "":
        raise fail(f"no model {model_id!r} in this configuration", USAGE)
    renewal = Renewal(_at_ms(at), model_id, version)
    publish_now(settings, renewal.encode())
    which = model_id if version is None else f"{model_id} v{version}"
    say(f"announced: a new reference of {which} from {iso(renewal.effective_at_ms)} on")


def deploy(settings: Settings, path: Path, model_id: str, version: str, at: str | None) -> None:
    """Announces it; exit 1 and nothing announced where it cannot be compared with."""
    try:
        found = {(of.model_id, of.version): of for of in read_references(path)}
        at_ms = 0 if at is None else moment_ms(at)
    except (OSError, ValueError) as error:
        raise fail(str(error), USAGE) from None
    renewal = found.get((model_id, version))
    if renewal is None:
        held = ", ".join(f"{of[0]} v{of[1]}" for of in found) or "none"
        raise fail(f"{path}: no reference of {model_id} v{version}, but of {held}", USAGE)
    misfits = renewal.misfits(settings.rules())
    if misfits:
        raise fail("; ".join(misfits))
    value = replace(renewal, effective_at_ms=at_ms).encode()
    if len(value) > LARGEST_RECORD_BYTES:
        raise fail(
            f"its control record has {len(value):,} bytes, and {LARGEST_RECORD_BYTES:,} are taken: "
            "build it of fewer features, segments or ages"
        )
    publish_now(settings, value)
    ids = ", ".join(of.id for of in Deployment(renewal.references).references.values())
    when = "its first prediction" if at is None else iso(at_ms)
    say(f"announced: {model_id} v{version} is compared with {ids} from {when} on")


def publish_now(settings: Settings, value: bytes) -> None:
    """A record for the control topic."""
    _run(publish(settings, settings.topics.control, None, value))


def _at_ms(at: str | None) -> int:
    try:
        return time.time_ns() // 1_000_000 if at is None else moment_ms(at)
    except ValueError as error:
        raise fail(f"--at: {error}", USAGE) from None


def show(settings: Settings, output: Output) -> None:
    book, changes, journal = _run(_read(settings))
    if book is None:
        raise fail("no worker of this app has run yet")
    found: list[dict[str, Any]] = [
        {"config_hash": book.founding.config_hash(), "announced_for": None}
    ]
    for offset, change in changes:
        decided = [
            {"stage": stage, "partition": p, "from": iso(entry.at_ms)}
            for stage, p in [(3, 0), *((2, q) for q in range(settings.partitions))]
            for entry in journal.activations_of(stage, p)
            if entry.announced_at == offset
        ]
        found.append(
            {
                "config_hash": change.rules.config_hash(),
                "announced_for": iso(change.effective_at_ms),
                "in_force": decided,
            }
        )
    if output is Output.json:
        print_json(found)
        return
    rows = [(str(c["config_hash"]), _since(c, settings.partitions)) for c in found]
    print_rows(("config", "in force"), rows)
    own = settings.rules().config_hash()
    if own not in book:
        say(f"the configuration given, {own}, is none of them: a worker with it would not start")


def _since(found: dict[str, Any], partitions: int) -> str:
    if found["announced_for"] is None:
        return "from the beginning"
    times = sorted({decided["from"] for decided in found["in_force"]})
    missing = partitions + 1 - len(found["in_force"])
    since = " or ".join(dict.fromkeys([times[0], times[-1]])) if times else ""
    waiting = f"announced for {found['announced_for']}; {missing} partitions have not decided"
    return waiting if missing else f"from {since} on"


def book_hash(book: RuleBook, changes: list[tuple[int, ConfigChange]]) -> str:
    """Of the last configuration announced, or of the first ever."""
    return (changes[-1][1].rules if changes else book.founding).config_hash()


Found = tuple[RuleBook | None, list[tuple[int, ConfigChange]], Journal]


async def _read(settings: Settings) -> Found:
    journal = Journal()
    for offset, value in await read_whole(settings, settings.internal_topic("journal")):
        journal.add(offset, decode_journal(value))
    if journal.founding is None:
        return None, [], journal
    founding = ConfigChange.of_plain(0, journal.founding.config_hash, journal.founding.rules)
    book, changes = RuleBook(founding.rules), []
    for offset, value in await read_whole(settings, settings.topics.control, 1):
        try:
            record = control.decode(value)
            if isinstance(record, ConfigChange):
                book.announce(record)
                changes.append((offset, record))
        except (control.ControlError, RefusedConfigError) as error:
            say(f"control record {offset} is ignored, as by a worker: {error}")
    return book, changes, journal


def _run(work: Coroutine[Any, Any, Any]) -> Any:
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # our one line says it
    try:
        return asyncio.run(work)
    except (AdminError, KafkaError, OSError, TimeoutError, RefusedConfigError) as error:
        raise fail(f"{error!r}") from None
