"""Alerts as they come, one readable line each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeGuard

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.events import Alert
from stream.kafka_admin import connection
from stream.settings import Settings

POLL_MS = 200


async def follow(settings: Settings, seen: Callable[[Alert], None]) -> None:
    """Calls seen(alert) for each record of the alert topic, from its beginning, until cancelled."""
    consumer = AIOKafkaConsumer(**connection(settings), enable_auto_commit=False)
    await consumer.start()
    try:
        partition = TopicPartition(settings.topics.alerts, 0)
        consumer.assign([partition])
        await consumer.seek_to_beginning(partition)
        while True:
            fetched = await consumer.getmany(timeout_ms=POLL_MS)
            for record in fetched.get(partition, []):
                seen(msgspec.json.decode(record.value, type=Alert))
            await asyncio.sleep(0)
    finally:
        await consumer.stop()


def line(alert: Alert) -> str:
    """What, where, since when, before -> after, owner, action."""
    where = f"{alert.model.id} v{alert.model.version} {alert.scope.feature or ''}".rstrip()
    if alert.status == "resolved":
        return f"RESOLVED {alert.kind} | {where} | at {_minute(alert.ends_at or '')}"
    return " | ".join(
        (
            f"{alert.severity.upper()} {alert.kind}",
            where,
            f"since {_minute(alert.effect.change_at)}, seen {_minute(alert.evaluated_at)}",
            before_after(alert),
            f"owner {alert.owners.accountable}",
            f"action {alert.recommended_action}",
        )
    )


def before_after(alert: Alert) -> str:
    """The first figure that both sides of the evidence have; else the size of the change."""
    reference, current = alert.evidence.get("reference", {}), alert.evidence.get("current", {})
    for name, before in reference.items():
        after = current.get(name)
        if name != "count" and _is_number(before) and _is_number(after):
            return f"{name} {_figure(before)} -> {_figure(after)}"
    return f"changed by {_figure(alert.effect.estimate)}"


def epoch_ms(time: str) -> int:
    """RFC 3339 to epoch milliseconds."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
