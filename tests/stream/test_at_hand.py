"""What was opened last is at hand, up to so many cells."""

from __future__ import annotations

import gc

import numpy as np

from stream.at_hand import AT_HAND, AtHand
from stream.columns import Rows, number_column
from stream.panes import summarise
from stream.recent_rows import FullStretch, RecentRows


class Box:
    def __init__(self) -> None:
        self.is_open = True

    def put_away(self) -> None:
        self.is_open = False


def test_the_oldest_are_packed_and_the_last_one_never() -> None:
    at_hand, boxes = AtHand(10), [Box() for _ in range(4)]
    for box in boxes[:3]:
        at_hand.keep(box, 4)
    assert [box.is_open for box in boxes] == [False, True, True, True]
    at_hand.keep(boxes[3], 100)
    assert [box.is_open for box in boxes] == [False, False, False, True]
    at_hand.put_away()
    assert not boxes[3].is_open


def test_who_is_gone_does_not_count() -> None:
    at_hand, kept = AtHand(10), Box()
    at_hand.keep(kept, 4)
    for _ in range(100):
        at_hand.keep(Box(), 6)
        gc.collect()
    assert kept.is_open


def test_nothing_is_counted_twice_or_for_ever() -> None:
    at_hand, boxes = AtHand(100), [Box() for _ in range(5)]
    for number in range(200):
        at_hand.keep(boxes[number % 5], number % 7)
        at_hand.keep(Box(), 9)
    del boxes
    assert at_hand._total == sum(at_hand._cells.values()) == 0


def rows_of(pane: int, count: int = 300) -> Rows:
    random = np.random.default_rng(pane)
    hashes = random.integers(0, 2**63, count).astype(np.uint64)
    columns = {"feature:x": number_column(random.normal(size=count).round(3))}
    return Rows(np.full(count, 1_000 * (pane + 1)), hashes, columns, {})


def test_a_window_is_the_same_whether_its_rows_lie_packed() -> None:
    recent = RecentRows(256)
    for pane in range(5):
        recent.add(summarise(rows_of(pane), 256, 16))
        recent.trim()
    (full,), newest = recent.snapshot()
    assert isinstance(full, FullStretch)
    assert newest is None
    said, window = full.encode(), recent.window(0, 10_000)
    AT_HAND.put_away()
    again = recent.window(0, 10_000)
    assert full.encode() == said == FullStretch.decode(said).encode()
    assert window is not None
    assert again is not None
    for before, after in (
        (window.pane_end, again.pane_end),
        (window.hash, again.hash),
        (window.columns["feature:x"].bits, again.columns["feature:x"].bits),
    ):
        assert before.tolist() == after.tolist()
