"""What waiting predictions cost, in work and bytes: neither depends on the machine."""

from __future__ import annotations

from tests.bench.pending import Held, amplification

ROWS = 200_000


def test_a_row_is_copied_as_often_as_there_are_sizes_of_runs() -> None:
    held = Held()
    while held.rows < ROWS:
        held.add(2_000)
    assert 1 < held.copies() < 4.5
    held.age(ROWS // 2)
    assert len(held.pending) < ROWS * 0.6
    assert held.copies() < 5


def test_a_prediction_and_its_id_take_less_than_a_hundred_bytes() -> None:
    held = Held()
    while held.rows < ROWS:
        held.add(2_000)
    columns = [v for r in (held.pending.runs, held.ids.runs) for run in r.runs
               for v in run.columns.values()]  # fmt: skip
    size = sum(v.nbytes for v in columns if v.strides != (0,))
    assert 60 * ROWS < size < 70 * ROWS


def test_checkpoints_write_a_row_a_few_times_in_its_life_also_while_others_mature() -> None:
    assert 1 < amplification(ROWS, 20_000) < 2.5
    assert 1 < amplification(ROWS, 20_000, lives=2) < 3.5
