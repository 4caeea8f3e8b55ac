"""The journal: what compaction may drop, and what a reader of the rest still knows."""

from __future__ import annotations

from stream.journal import Journal, journal_key
from stream.wire import Claim, Idle, JournalEntry, MaturityDecision

ENTRIES: list[JournalEntry] = [
    Claim(1, 0, "a"),
    Idle(1, 0, 0, "predictions", 7, 10_000),
    Idle(1, 0, 0, "predictions", 7, 20_000),
    Idle(1, 0, 0, "outcomes", 7, 15_000),
    MaturityDecision(2, 0, 99, "m", 5, 6),  # void: nobody claimed this
    Claim(1, 0, "a"),
    Idle(1, 0, 0, "predictions", 7, 90_000),  # void: of the epoch before
    Idle(1, 0, 5, "predictions", 7, 30_000),
    Idle(1, 0, 5, "predictions", 9, 40_000),
    Claim(2, 0, "a"),
    MaturityDecision(2, 0, 9, "m", 7, 8),
]


def read(placed: list[tuple[int, JournalEntry]]) -> Journal:
    journal = Journal()
    for offset, entry in placed:
        journal.add(offset, entry)
    return journal


def test_a_compacted_journal_says_how_far_each_silence_went_and_what_was_decided() -> None:
    placed = list(enumerate(ENTRIES))
    last = {journal_key(entry, moment=offset): offset for offset, entry in placed}
    compacted = [(offset, entry) for offset, entry in placed if offset in last.values()]
    assert len(compacted) < len(placed)
    whole, rest = read(placed), read(compacted)
    assert rest.decisions == whole.decisions == {"m": ENTRIES[10]}
    for journal in (whole, rest):
        went = {(e.side, e.at_offset): e.watermark_ms for e in journal.idle_of(0)}
        assert went == {
            ("predictions", 7): 30_000,
            ("outcomes", 7): 15_000,
            ("predictions", 9): 40_000,
        }
    assert rest.epoch(1, 0) == whole.epoch(1, 0) == 5


def test_two_claims_of_one_owner_are_both_kept() -> None:
    assert journal_key(ENTRIES[0], moment=1) != journal_key(ENTRIES[5], moment=2)
