"""Bytes of records and states: what comes back, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stream.snapshot import BrokenRecordError, pack, unpack

plain = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text()
    | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(0, 2**64 - 1), inner),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(plain)
def test_what_is_packed_comes_back_and_equal_values_have_equal_bytes(value: object) -> None:
    data = pack(b"X", 3, value)
    assert unpack(b"X", 3, data) == value
    assert pack(b"X", 3, unpack(b"X", 3, data)) == data


@pytest.mark.parametrize("kind", ["<i8", "<u8", "<f8", "|u1", "|b1", ">i8", "<i4"])
def test_arrays_come_back_little_endian_with_their_type(kind: str) -> None:
    array = np.array([0, 1, 1, 0], kind)
    back = unpack(b"X", 1, pack(b"X", 1, {"a": array[::2], "b": array[:0]}))
    assert back["a"].tolist() == array[::2].tolist()
    assert back["a"].dtype == array.dtype.newbyteorder("<")
    assert len(back["b"]) == 0


def test_nan_and_minus_zero_in_arrays_keep_their_bits() -> None:
    array = np.array([np.nan, -0.0, np.inf, 5e-324])
    assert unpack(b"X", 1, pack(b"X", 1, array)).tobytes() == array.tobytes()


@settings(max_examples=100, deadline=None, derandomize=True)
@given(st.data())
def test_a_flipped_bit_or_a_cut_is_refused(data: st.DataObject) -> None:
    whole = pack(b"X", 1, {"a": np.arange(5), "b": ["text", 1.5]})
    at = data.draw(st.integers(0, 8 * len(whole) - 1))
    flipped = bytearray(whole)
    flipped[at // 8] ^= 1 << at % 8
    with pytest.raises(BrokenRecordError):
        unpack(b"X", 1, bytes(flipped))
    with pytest.raises(BrokenRecordError):
        unpack(b"X", 1, whole[: data.draw(st.integers(0, len(whole) - 1))])


def test_another_version_is_named() -> None:
    with pytest.raises(BrokenRecordError, match="version 2; this build reads 1"):
        unpack(b"X", 1, pack(b"X", 2, None))


def test_objects_have_no_wire_form() -> None:
    with pytest.raises(TypeError):
        pack(b"X", 1, {"a": object()})
    with pytest.raises((TypeError, BrokenRecordError)):
        unpack(b"X", 1, pack(b"X", 1, np.array([object()])))
