"""Alerts as they come, one readable line each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
from aiokafka import AIOKafkaConsumer, TopicPartition

from stream.events import Alert
from stream.kafka_admin import connection
from stream.settings import Settings

POLL_MS = 200
RATE_KINDS = ("data_quality", "schema", "version")  # of a share of the records, or of nothing


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
    watched = alert.scope.feature or alert.impact.metric or ""
    where = f"{alert.model.id} v{alert.model.version} {watched}".rstrip()
    if alert.status == "resolved":
        return f"RESOLVED {alert.alertname} | {where} | at {_minute(alert.ends_at or '')}"
    again = "STILL " if alert.sequence > 1 else ""
    return " | ".join(
        (
            f"{again}{alert.severity.upper()} {alert.alertname}",
            where,
            f"since {_minute(alert.effect.change_at)}, seen {_minute(alert.evaluated_at)}",
            before_after(alert),
            f"owner {alert.owners.accountable}",
            f"action {alert.recommended_action}",
        )
    )


def before_after(alert: Alert) -> str:
    """The mean before and after, of the impact's metric or the evidence; the summary's words of an
    update, of what has no mean, and where ranks have moved otherwise than the mean has."""
    impact, evidence = alert.impact, alert.evidence
    in_words = alert.summary.partition(": ")[2] or alert.summary
    if alert.sequence > 1:
        return in_words
    before, after = impact.reference, impact.value
    if before is None or after is None:
        if alert.kind in RATE_KINDS or "Shape" in alert.alertname:
            return in_words
        before, after = (evidence.get(side, {}).get("mean") for side in ("reference", "current"))
    if before is None or after is None or (after - before) * alert.effect.estimate < 0:
        return in_words
    return f"mean {_figure(before)} -> {_figure(after)}"


def epoch_ms(time: str) -> int:
    """RFC 3339 to epoch milliseconds."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def _figure(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _minute(time: str) -> str:
    return time[:16].replace("T", " ")
