"""Many times at once, of texts: eight characters of each as one integer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from detectors.ordered import distinct
from stream.times import EPOCH, UNCERTAIN

_OF_CLOCK, _TO_SECONDS = len("2026-11-22T"), len("2026-11-22T10:00:00")
_DAY_MS = 86_400_000
_BYTE, _TOO_LARGE = np.uint64(0xFF), np.uint64(0x8080808080808080)


def moments_ms(texts: Sequence[str]) -> NDArray[np.int64]:
    """UNCERTAIN where one is not in UTC, of plain form and from 1970 to 2199.

    O(n), a few operations for each length of text; `to_ms` of what was parsed says the same.

    >>> moments_ms(["1970-01-02T00:00:01.5Z", "1970-01-01T00:00:01.500+00:00", "1970-01-01"])
    array([86401500,     1500,       -1])
    """
    lengths = np.fromiter(map(len, texts), np.int64, len(texts))
    if len(texts) and (lengths == lengths[0]).all():
        return moments_alike_ms("".join(texts), len(texts))
    made = np.full(len(texts), UNCERTAIN, np.int64)
    for length in distinct(lengths).tolist():
        rows = np.flatnonzero(lengths == length)
        made[rows] = moments_alike_ms("".join(texts[row] for row in rows.tolist()), len(rows))
    return made


def moments_alike_ms(joined: str, count: int) -> NDArray[np.int64]:
    """The same of so many texts of one length, end to end."""
    length = len(joined) // count
    first = joined[:length]
    zone = "Z" if first.endswith("Z") else "+00:00"
    fraction = length - len(zone) - _TO_SECONDS - 1  # digits; -1 where there is no point either
    if fraction not in (-1, 1, 2, 3, 4, 5, 6) or not joined.isascii():
        return np.full(count, UNCERTAIN, np.int64)
    point = "." if fraction > 0 else ""
    written = _Written(
        joined.encode(),
        count,
        f"00:00:00{point}{'0' * fraction}{zone}",
        f"29:59:59{point}{'9' * fraction}{zone}",
    )
    clock, doubt = written.digits(_OF_CLOCK)
    last, of_last = written.digits(length - 8)
    doubt |= of_last
    behind = length - _TO_SECONDS
    of_fraction = last >> np.uint64(8 * (8 - behind)) if behind < 8 else last
    if behind > 8:
        of_fraction, of_middle = written.digits(_TO_SECONDS)
        doubt |= of_middle
    of_day = _of_clock(clock) + _of_fraction(of_fraction)
    certain = ((doubt & _TOO_LARGE) == 0) & (of_day < _DAY_MS)
    start_ms: int | NDArray[np.int64]
    if first[10] == "T" and written.is_same(0) and written.is_same(3):
        start_ms = _day_ms(first[:10])
    else:
        days, marks = written.days()
        start_ms = np.array([_day_ms(day) for day in days], np.int64)
        certain &= marks == ord("T")
    return np.where(certain & (start_ms != UNCERTAIN), start_ms + of_day, UNCERTAIN)


class _Written:
    """Texts of ASCII, of one length. Behind the day all are to be from `plain` to `most`, character
    by character."""

    def __init__(self, joined: bytes, count: int, plain: str, most: str) -> None:
        self._joined, self._count, self._length = joined, count, len(joined) // count
        self._plain, self._most = plain, most

    def _words(self, at: int) -> NDArray[np.uint64]:
        """Of each text the 8 characters from `at` on, the first in the lowest bits."""
        return np.ndarray((self._count,), "<u8", self._joined, at, (self._length,))

    def is_same(self, at: int) -> bool:
        """Whether these 8 characters are those of the first text in all of them."""
        words = self._words(at)
        return bool((words == words[0]).all())

    def digits(self, at: int) -> tuple[NDArray[np.uint64], NDArray[np.uint64]]:
        """(digits, doubts), a byte for each of 8 characters: what it counts, 0 where a mark is to
        be; and one of which the highest bit is set where the character is another."""
        part = slice(at - _OF_CLOCK, at - _OF_CLOCK + 8)
        plain = _word(self._plain[part])
        room = np.uint64(0x7F7F7F7F7F7F7F7F) - (_word(self._most[part]) ^ plain)
        digits = self._words(at) ^ plain
        return digits, digits + room

    def days(self) -> tuple[list[str], NDArray[np.uint8]]:
        """The first 10 characters of each, and the next one."""
        text, step = self._joined.decode(), self._length
        starts = range(0, len(text), step)
        marks = np.frombuffer(self._joined, np.uint8)[10::step]
        return [text[start : start + 10] for start in starts], marks


def _word(text: str) -> np.uint64:
    return np.uint64(int.from_bytes(text.encode(), "little"))


def _of_clock(digits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Milliseconds, of hh:mm:ss."""
    pairs = digits * np.uint64(10) + (digits >> np.uint64(8))
    spans = zip((0, 24, 48), (3_600_000, 60_000, 1_000), strict=True)
    return _counted(pairs, spans)


def _of_fraction(digits: NDArray[np.uint64]) -> NDArray[np.int64]:
    """Milliseconds, of the digits behind a point."""
    return _counted(digits, zip((8, 16, 24), (100, 10, 1), strict=True))


def _counted(bytes_: NDArray[np.uint64], units: Iterable[tuple[int, int]]) -> NDArray[np.int64]:
    """The sum of the bytes at these bits, each in its unit."""
    total = np.zeros(len(bytes_), np.int64)
    for bit, unit in units:
        total += ((bytes_ >> np.uint64(bit)) & _BYTE).view(np.int64) * unit
    return total


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
    return _DAY_MS * days if "1970" <= year <= "2199" else UNCERTAIN
