"""Event times as people and JSON have them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
UNCERTAIN = -1


def to_ms(value: datetime | int) -> int:
    """Epoch milliseconds, floored."""
    return value if isinstance(value, int) else (value - EPOCH) // MILLISECOND


def iso(time_ms: int) -> str:
    """RFC 3339 UTC with milliseconds."""
    moment = EPOCH + time_ms * MILLISECOND
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def span_text(span_ms: int) -> str:
    """A length of time for people, in the largest unit of which there are two, or one exactly.

    >>> span_text(1_800_000), span_text(3_600_000), span_text(5_400_000), span_text(1_500)
    ('30 min', '1 h', '90 min', '1.5 s')
    """
    for unit_ms, name in _SPANS:
        if span_ms >= 2 * unit_ms or span_ms == unit_ms:
            return f"{span_ms / unit_ms:.3g} {name}"
    return f"{span_ms / 1_000:.3g} s"


_SPANS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"))


def moment_ms(text: str) -> int:
    """RFC 3339 with an offset, or integer epoch milliseconds. Raises ValueError.

    >>> moment_ms("1970-01-01T00:00:01+00:00"), moment_ms("1970-01-01T00:00:01Z"), moment_ms("1000")
    (1000, 1000, 1000)
    """
    if text.isascii() and text.isdigit():
        return int(text)
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise ValueError(f"{text!r} is no time: RFC 3339 or epoch milliseconds") from None
    if moment.tzinfo is None:
        raise ValueError(f"{text!r} has no offset from UTC: end it with Z or such as +02:00")
    return to_ms(moment)
