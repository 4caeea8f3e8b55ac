"""Event times as people and JSON have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)


def to_ms(value: datetime | int) -> int:
    """Epoch milliseconds, floored."""
    return value if isinstance(value, int) else (value - EPOCH) // MILLISECOND


def iso(time_ms: int) -> str:
    """RFC 3339 UTC with milliseconds."""
    moment = EPOCH + time_ms * MILLISECOND
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"
