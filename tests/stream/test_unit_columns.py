"""The columns of units lie behind one another, in their order."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from stream.unit_columns import UnitColumns
from stream.units import Key, Unit


@given(st.lists(st.integers(1, 5), max_size=8), st.sets(st.integers(0, 7)))
def test_each_unit_has_its_own_and_none_is_left_over(sizes: list[int], some: set[int]) -> None:
    keys: list[Key] = [(f"feature:{i}", "shift") for i in range(len(sizes))]
    columns = UnitColumns(Unit(*key, size) for key, size in zip(keys, sizes, strict=True))
    naive = [key for key, size in zip(keys, sizes, strict=True) for _ in range(size)]
    assert [*columns] == keys
    assert [columns.owner(column) for column in columns.every.tolist()] == naive
    for key in keys:
        assert columns[key].tolist() == [c for c, of in enumerate(naive) if of == key]
    left_out = [key for i, key in enumerate(keys) if i in some]
    rest = [c for c, of in enumerate(naive) if of not in left_out]
    assert columns.but(left_out).tolist() == rest
