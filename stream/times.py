"""Event times as people and JSON have them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
UNCERTAIN = -1
_TO_SECONDS = len("2026-11-22T10:00:00")
_MARKS = {10: ord("T"), 13: ord(":"), 16: ord(":")}
_DIGITS = (11, 12, 14, 15, 17, 18)
_UNITS_MS = (36_000_000, 3_600_000, 600_000, 60_000, 10_000, 1_000, 100, 10, 1)


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


def moments_ms(texts: Sequence[str]) -> NDArray[np.int64]:
    """Many times at once; UNCERTAIN where one is not in UTC, of plain form and from 1970 to 2199.

    O(n), a few operations for each length of text; `to_ms` of what was parsed says the same.

    >>> moments_ms(["1970-01-02T00:00:01.5Z", "1970-01-01T00:00:01.500+00:00", "1970-01-01"])
    array([86401500,     1500,       -1])
    """
    made = np.full(len(texts), UNCERTAIN, np.int64)
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if len(texts) and (lengths == lengths[0]).all():
        made[:] = _alike(texts, int(lengths[0]))
        return made
    for length in distinct(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        made[rows] = _alike([texts[row] for row in rows.tolist()], length)
    return made


def _alike(texts: Sequence[str], length: int) -> NDArray[np.int64] | int:
    """Of texts of one length."""
    joined = "".join(texts)
    if not _TO_SECONDS < length < 2 * _TO_SECONDS or not joined.isascii():
        return UNCERTAIN
    cells = np.frombuffer(joined.encode(), np.uint8).reshape(-1, length)
    zone = b"Z" if texts[0].endswith("Z") else b"+00:00"
    fraction = length - len(zone) - _TO_SECONDS - 1  # digits; -1 where there is no point either
    if fraction not in (-1, 1, 2, 3, 4, 5, 6):
        return UNCERTAIN
    marks = _MARKS | {length - len(zone) + i: mark for i, mark in enumerate(zone)}
    if fraction > 0:
        marks[_TO_SECONDS] = ord(".")
    certain = (cells[:, list(marks)] == np.array(list(marks.values()), np.uint8)).all(axis=1)
    of_fraction = range(_TO_SECONDS + 1, _TO_SECONDS + 1 + max(fraction, 0))
    digits = cells[:, [*_DIGITS, *of_fraction]] - np.uint8(ord("0"))
    certain &= (digits < 10).all(axis=1) & (digits[:, 2] < 6) & (digits[:, 4] < 6)
    certain &= (digits[:, 0] < 2) | ((digits[:, 0] == 2) & (digits[:, 1] < 4))
    counted = digits[:, : len(_UNITS_MS)].astype(np.float64)
    of_day = (counted @ np.array(_UNITS_MS[: counted.shape[1]], np.float64)).astype(np.int64)
    days = cells[:, :10]
    if (days == days[0]).all():
        first_ms = _day_ms(texts[0][:10])
        return np.where(certain & (first_ms != UNCERTAIN), first_ms + of_day, UNCERTAIN)
    distinct, place = np.unique(np.ascontiguousarray(days).view("S10"), return_inverse=True)
    of_days = np.array([_day_ms(day.decode()) for day in distinct.tolist()], np.int64)
    start_ms = of_days[place.reshape(-1)]
    return np.where(certain & (start_ms != UNCERTAIN), start_ms + of_day, UNCERTAIN)


@lru_cache(maxsize=1_024)
def _day_ms(text: str) -> int:
    """Of YYYY-MM-DD."""
    year, month, day = text[:4], text[5:7], text[8:]
    if text[4:5] + text[7:8] != "--" or not (year + month + day).isdigit():
        return UNCERTAIN
    try:
        days = (date(int(year), int(month), int(day)) - EPOCH.date()).days
    except ValueError:
        return UNCERTAIN
    return 86_400_000 * days if "1970" <= year <= "2199" else UNCERTAIN
