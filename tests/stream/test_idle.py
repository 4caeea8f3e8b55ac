"""Idleness and ticks, with processing time as an argument."""

from __future__ import annotations

from collections.abc import Sequence

from stream.idle import Advance, Idleness, SourceView

IDLE_S = 5.0
PANE_MS = 10_000


def view(
    partition: int,
    predictions_ms: int | None,
    *,
    idle: bool = False,
    outcomes_ms: int | None = None,
    outcomes_idle: bool = False,
) -> SourceView:
    return SourceView(
        partition,
        is_local=True,
        predictions_ms=predictions_ms,
        outcomes_ms=outcomes_ms,
        predictions_at_end=idle,
        outcomes_at_end=outcomes_idle,
    )


def decide(idleness: Idleness, now_s: float, *views: SourceView) -> list[Advance]:
    return idleness.decide(now_s, views)


def new() -> Idleness:
    return Idleness(idle_s=IDLE_S, pane_ms=PANE_MS)


def test_an_idle_partition_advances_to_the_minimum_of_the_active_ones() -> None:
    idleness = new()
    views = view(0, 50_000, idle=True), view(1, 100_000), view(2, 80_000)
    assert decide(idleness, 0, *views) == []
    assert decide(idleness, IDLE_S, *views) == [Advance(0, "predictions", 80_000)]


def test_not_before_it_was_at_its_end_uninterrupted_for_that_long() -> None:
    idleness = new()
    for now_s, is_at_end in ((0, True), (4, True), (4.5, False), (5, True), (9.9, True)):
        assert decide(idleness, now_s, view(0, 50_000, idle=is_at_end), view(1, 90_000)) == []
    found = decide(idleness, 10, view(0, 50_000, idle=True), view(1, 90_000))
    assert found == [Advance(0, "predictions", 90_000)]


def test_at_most_one_entry_per_pane_after_the_one_on_becoming_idle() -> None:
    idleness = new()
    decide(idleness, 0, view(0, 80_000, idle=True), view(1, 80_000))
    entered = decide(idleness, 5, view(0, 80_000, idle=True), view(1, 80_000))
    assert entered == [Advance(0, "predictions", 80_000)], "others learn that it is idle"
    assert decide(idleness, 6, view(0, 80_000, idle=True), view(1, 89_999)) == []
    found = decide(idleness, 7, view(0, 80_000, idle=True), view(1, 90_000))
    assert found == [Advance(0, "predictions", 90_000)]


def test_an_idle_partition_never_goes_back() -> None:
    idleness = new()
    decide(idleness, 0, view(0, 95_000, idle=True), view(1, 20_000))
    found = decide(idleness, 9, view(0, 95_000, idle=True), view(1, 20_000))
    assert found == [Advance(0, "predictions", 95_000)]


def test_a_partition_that_never_had_a_record_follows_the_active_ones() -> None:
    idleness = new()
    decide(idleness, 0, view(0, None, idle=True), view(1, 70_000))
    found = decide(idleness, 5, view(0, None, idle=True), view(1, 70_000))
    assert found == [Advance(0, "predictions", 70_000)]


def test_nothing_is_journaled_while_nothing_is_known() -> None:
    idleness = new()
    for now_s in range(20):
        views = (
            view(0, None, idle=True, outcomes_idle=True),
            view(1, None, idle=True, outcomes_idle=True),
        )
        assert decide(idleness, now_s, *views) == []


def test_when_all_are_idle_time_goes_on_from_the_last_watermark_by_what_has_passed() -> None:
    idleness = new()
    views = view(0, 50_000, idle=True), view(1, 80_000, idle=True)
    decide(idleness, 0, *views)
    assert decide(idleness, 5, *views) == [
        Advance(0, "predictions", 80_000),
        Advance(1, "predictions", 80_000),
    ]
    views = view(0, 80_000, idle=True), view(1, 80_000, idle=True)
    assert decide(idleness, 14, *views) == []
    assert decide(idleness, 15, *views) == [
        Advance(0, "predictions", 90_000),
        Advance(1, "predictions", 90_000),
    ]


def test_ticks_do_not_compound() -> None:
    """Each tick raises the watermarks; the next is still counted from the first."""
    idleness = new()
    at_ms = 80_000
    for now_s in range(100):
        for advance in decide(idleness, now_s, view(0, at_ms, idle=True)):
            at_ms = advance.watermark_ms
    assert at_ms == 80_000 + 90_000  # idle from second 5; the last pane boundary before 99


def test_one_active_partition_ends_the_ticks() -> None:
    idleness = new()
    decide(idleness, 0, view(0, 80_000, idle=True), view(1, 80_000, idle=True))
    decide(idleness, 25, view(0, 80_000, idle=True), view(1, 80_000, idle=True))
    found = decide(idleness, 60, view(0, 100_000, idle=True), view(1, 85_000))
    assert found == []


def test_idle_outcomes_follow_their_own_predictions_partition() -> None:
    idleness = new()

    def views(at_ms: int) -> Sequence[SourceView]:
        return (
            view(0, at_ms, outcomes_ms=10_000, outcomes_idle=True),
            view(1, 500_000, outcomes_ms=10_000),
        )

    decide(idleness, 0, *views(40_000))
    assert decide(idleness, 5, *views(40_000)) == [Advance(0, "outcomes", 40_000)]


def test_outcomes_follow_predictions_that_are_idle_themselves_in_one_step() -> None:
    idleness = new()
    views = (
        view(0, 20_000, idle=True, outcomes_ms=10_000, outcomes_idle=True),
        view(1, 70_000, outcomes_ms=70_000),
    )
    decide(idleness, 0, *views)
    assert decide(idleness, 5, *views) == [
        Advance(0, "predictions", 70_000),
        Advance(0, "outcomes", 70_000),
    ]


def test_partitions_of_other_workers_count_and_are_never_advanced() -> None:
    idleness = new()
    elsewhere = SourceView(1, is_local=False, predictions_ms=60_000)
    decide(idleness, 0, view(0, 50_000, idle=True), elsewhere)
    found = decide(idleness, 5, view(0, 50_000, idle=True), elsewhere)
    assert found == [Advance(0, "predictions", 60_000)]


def test_another_workers_idle_partition_holds_nobody_back() -> None:
    idleness = new()
    elsewhere = SourceView(1, is_local=False, predictions_ms=20_000, is_idle_elsewhere=True)
    views = view(0, 50_000, idle=True), elsewhere, view(2, 90_000)
    decide(idleness, 0, *views)
    assert decide(idleness, 5, *views) == [Advance(0, "predictions", 90_000)]


def test_a_new_assignment_starts_the_clock_anew() -> None:
    idleness = new()
    views = view(0, 50_000, idle=True), view(1, 90_000)
    decide(idleness, 0, *views)
    idleness.forget()
    assert decide(idleness, 6, *views) == []
    assert decide(idleness, 11, *views) == [Advance(0, "predictions", 90_000)]
