"""The journal: what compaction may drop, and what a reader of the rest still knows."""

from __future__ import annotations

import msgspec

from stream.journal import Journal, journal_key
from stream.notices import Notice
from stream.wire import (
    Accepted,
    Activation,
    Claim,
    Idle,
    JournalEntry,
    MaturityDecision,
    Noticed,
    Renewed,
    Shed,
    decode_journal,
    encode_journal,
)

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


DECIDED: list[JournalEntry] = [
    Idle(1, 0, 0, "predictions", 7, 10_000),
    Shed(1, 0, 0, "predictions", 9, "pending", 2),
    Accepted(1, 0, 0, "outcomes", 8, announced_at=3, config_hash="c"),
    Activation(1, 0, 0, announced_at=3, config_hash="c", at_ms=5),
    Renewed(1, 0, 0, announced_at=4, at_ms=6, model_id="m", version=None),
    Noticed(1, 0, 0, announced_at=5, at_ms=6, notice=Notice("acknowledgement", by="ann")),
]


def test_what_is_said_again_under_a_later_epoch_changes_nothing() -> None:
    again = [msgspec.structs.replace(entry, epoch=5) for entry in DECIDED]
    once = read(list(enumerate([Claim(1, 0, "a"), *DECIDED])))
    twice = read(list(enumerate([Claim(1, 0, "a"), *DECIDED, Claim(1, 0, "b"), *again])))
    for said, heard in (
        (once.idle_of(0), twice.idle_of(0)),
        (once.sheds_of(0), twice.sheds_of(0)),
        (once.accepted_of(0), twice.accepted_of(0)),
        (once.activations_of(1, 0), twice.activations_of(1, 0)),
        (once.renewed_of(0), twice.renewed_of(0)),
        (once.noticed_of(0), twice.noticed_of(0)),
    ):
        assert len(said) == 1
        assert heard == said or heard == [msgspec.structs.replace(said[0], epoch=5)]
    assert len({journal_key(entry) for entry in [*DECIDED, *again]}) == 2 * len(DECIDED)
    assert [decode_journal(encode_journal(entry)) for entry in again] == again


def test_of_two_levels_decided_for_one_place_the_last_counts_as_compaction_keeps_it() -> None:
    levels = [Shed(1, 0, 0, "predictions", 9, "pending", level) for level in (1, 3)]
    whole = read(list(enumerate([Claim(1, 0, "a"), *levels])))
    rest = read([(0, Claim(1, 0, "a")), (2, levels[1])])
    assert journal_key(levels[0]) == journal_key(levels[1])
    assert whole.sheds_of(0) == rest.sheds_of(0) == [levels[1]]
