"""Caps: what is kept is chosen by hash, from a journaled record on, whatever the batches."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest

from stream.identity import hash_ids
from stream.journal import Journal
from stream.pipeline import Pipeline, imbalance
from stream.replay import ReplayedJournal
from stream.rules import Rules
from stream.shedding import CAPS, NONE, Cap, Shedding, Wish, wanted
from stream.snapshot import packed
from stream.source_stage import SourceStage
from stream.wire import Claim, JournalEntry, Shed, decode_journal
from tests.streams import SMALL, Stream, alert_bytes, dealt, draw_events, feed, run

PENDING: Cap = ("predictions", "pending")
TINY = replace(SMALL, max_pending=30, max_ids=60, max_outcomes=80)


@pytest.mark.parametrize(
    ("size", "level"), [(0, 0), (874, 0), (875, 1), (938, 2), (969, 3), (999, 7), (1_000, NONE)]
)
def test_each_half_of_the_room_left_wants_half_of_the_records(size: int, level: int) -> None:
    assert wanted(0, size, 1_000) == level


def test_a_level_falls_below_half_the_cap_and_not_before() -> None:
    assert [wanted(NONE, size, 1_000) for size in (999, 500, 499, 0)] == [NONE, NONE, 8, 8]
    falling = [NONE]
    while falling[-1]:
        falling.append(wanted(falling[-1], 100, 1_000))
    assert falling == [16, 8, 4, 2, 1, 0]


def test_a_cap_is_only_wished_for_until_it_is_decided_and_then_wished_for_no_more() -> None:
    shedding = Shedding()
    wish = shedding.wish(PENDING, 9, 10)
    assert wish == Wish(*PENDING, 1)
    assert shedding.wish(PENDING, 9, 10) == wish
    shedding.decide(PENDING, 1, at_offset=100)
    assert shedding.wish(PENDING, 9, 10) is None
    assert shedding.levels()[PENDING] == 0


def test_a_level_holds_from_its_offset_on_inside_a_batch_and_in_those_that_follow() -> None:
    shedding = Shedding()
    offsets = np.arange(10, 20)
    hashes = np.full(10, 2**63, np.uint64)  # the smallest that level 1 sheds
    shedding.decide(PENDING, 1, at_offset=14)
    shedding.decide(PENDING, 0, at_offset=17)
    kept = shedding.kept(PENDING, offsets, hashes)
    assert kept.tolist() == [True] * 4 + [False] * 3 + [True] * 3
    assert shedding.kept(PENDING, offsets, hashes - np.uint64(1)).all()
    shedding.passed("predictions", offsets[:6].tolist())
    assert shedding.levels()[PENDING] == 1
    again = Shedding()
    again.restore(shedding.snapshot())
    assert again.kept(PENDING, offsets[6:], hashes[6:]).tolist() == [False, True, True, True]
    again.decide(PENDING, NONE)
    assert not again.kept(PENDING, offsets[:1], np.zeros(1, np.uint64)).any()


def test_what_is_kept_at_a_level_is_kept_at_every_lower_one_and_halves() -> None:
    hashes = hash_ids(f"p{i}" for i in range(4_000))[:, 0]
    offsets = np.arange(4_000)
    before = np.ones(4_000, np.bool_)
    for level in range(1, 5):
        shedding = Shedding()
        shedding.decide(PENDING, level)
        kept = shedding.kept(PENDING, offsets, hashes)
        assert not (kept & ~before).any()
        assert abs(kept.mean() - 2.0**-level) < 0.03
        before = kept


def mix(seed: int) -> Stream:
    predictions, outcomes = draw_events(Random(seed), 500)
    return dealt(predictions, outcomes, 2)


def decided(pipeline: Pipeline) -> list[tuple[int, JournalEntry]]:
    """The pipeline's journal, behind the claims of its owner."""
    entries = [decode_journal(value) for value in pipeline.journal]
    claims: list[JournalEntry] = [Claim(1, partition, "one") for partition in range(2)]
    # epoch 0: of a claim at offset 0 of its own partition
    return [(0, claim) for claim in claims] + list(enumerate(entries, 1))


def everything(pipeline: Pipeline) -> dict[str, Any]:
    return {"ledger": pipeline.ledger(), "alerts": alert_bytes(pipeline)}


def replayed(
    rules: Rules, stream: Stream, journal: list[tuple[int, JournalEntry]], seed: int
) -> Any:
    """Other batches, another interleaving, and restored now and then."""
    random, replay = Random(seed), ReplayedJournal(journal)
    pipeline = Pipeline(rules, 2)
    for side, batch in stream.batches(Random(seed), random.choice((5, 80))):
        for part in replay.before(pipeline, side, batch):
            feed(pipeline, side, part)
        if random.random() < 0.3:
            p = random.randrange(2)
            state = packed(pipeline.sources[p].snapshot())
            pipeline.sources[p] = SourceStage.restore(rules, p, 2, state)
    pipeline.end_of_input(None)
    return pipeline


@pytest.mark.parametrize("seed", range(6))
def test_with_the_journal_any_batching_interleaving_and_restart_sheds_the_same(seed: int) -> None:
    stream = mix(seed)
    live = run(TINY, stream, Random(seed), largest=20)
    journal = decided(live)
    sheds = [entry for _, entry in journal if isinstance(entry, Shed)]
    assert len(sheds) > 3
    assert [imbalance(part) for part in live.ledger()["partitions"]] == [[], []]
    for other in (seed + 1, seed + 2):
        again = replayed(TINY, stream, journal, other)
        assert everything(again) == everything(live)
        assert not any(isinstance(decode_journal(value), Shed) for value in again.journal)


def test_every_cap_sheds_and_the_number_held_stays_near_it() -> None:
    shed: Counter[Any] = Counter()
    for seed in range(6):
        pipeline = Pipeline(TINY, 2)
        for side, batch in mix(seed).batches(Random(seed), 10):
            feed(pipeline, side, batch)
            for source in pipeline.sources:
                assert source.ledger()["predictions"]["pending"] <= TINY.max_pending + 10
        for value in pipeline.journal:
            entry = decode_journal(value)
            if isinstance(entry, Shed) and entry.level:
                shed[entry.side, entry.what] += 1
        total = pipeline.ledger()["total"]
        shed["records"] += sum(total[side]["shed"] for side in total)
        shed["predictions"] += total["predictions"]["unjoined"]
    assert all(shed[name] for name in (*CAPS, "records", "predictions")), shed


def test_what_a_former_owner_journals_behind_a_claim_of_its_successor_is_void() -> None:
    journal = Journal()
    journal.add(0, Claim(1, 0, "one"))
    first = Shed(1, 0, 0, "predictions", 10, "pending", 1)
    assert journal.add(1, first)
    journal.add(2, Claim(1, 0, "two"))
    assert not journal.add(3, Shed(1, 0, 0, "predictions", 20, "pending", 2))
    assert journal.sheds_of(0) == [first]
