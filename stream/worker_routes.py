"""Where each effect of the core goes: one table, no I/O."""

from __future__ import annotations

from dataclasses import dataclass

from stream.events import (
    Effect,
    ToActions,
    ToAlerts,
    ToDeadLetters,
    ToFindings,
    ToJournal,
    ToPanes,
    ToReferences,
)
from stream.journal import journal_key
from stream.settings import Settings
from stream.wire import decode_journal

Headers = tuple[tuple[str, bytes], ...]


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One record to send; partition None: by key."""

    topic: str
    partition: int | None
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


@dataclass(frozen=True, slots=True)
class Sender:
    """Who emits, and when."""

    worker: str
    partition: int
    epoch: int
    now_ms: int


def route(effect: Effect, sender: Sender, settings: Settings) -> list[Outgoing]:
    internal, public = settings.internal_topic, settings.topics
    match effect:
        case ToPanes(partition, value):
            return [Outgoing(internal("panes"), partition, None, value)]
        case ToFindings(value):
            return [Outgoing(internal("findings"), 0, None, value)]
        case ToJournal(value):
            key = journal_key(decode_journal(value))
            return [Outgoing(internal("journal"), sender.partition, key, value)]
        case ToReferences(key, value):
            return [Outgoing(internal("references"), None, key, value)]
        case ToDeadLetters(_, value):
            return [Outgoing(public.dead_letters, None, None, value)]
        case ToActions():
            headers = headers_of(sender, settings.app)
            return [
                Outgoing(public.actions, None, effect.fingerprint.encode(), effect.value, headers)
            ]
        case ToAlerts():
            headers = alert_headers(effect.sequence, sender, settings.app)
            key = effect.fingerprint.encode()
            return [
                Outgoing(topic, None, key, effect.value, headers)
                for topic in (public.alerts, public.alerts_state)
            ]


def alert_headers(sequence: int, sender: Sender, app: str) -> Headers:
    """Everything about an alert that must stay out of its bytes."""
    return (("sequence", str(sequence).encode()), *headers_of(sender, app))


def headers_of(sender: Sender, app: str) -> Headers:
    return (
        ("epoch", str(sender.epoch).encode()),
        ("app", app.encode()),  # epochs of two apps cannot be compared
        ("worker", sender.worker.encode()),
        ("emitted_at", str(sender.now_ms).encode()),
        ("replay", b"false"),
    )
