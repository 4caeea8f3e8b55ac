"""Bytes of records and states: what comes back, and what is refused."""

from __future__ import annotations

import zlib

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


def test_every_cut_is_refused() -> None:
    whole = pack(b"X", 1, ["text"])
    for length in range(len(whole)):
        with pytest.raises(BrokenRecordError):
            unpack(b"X", 1, whole[:length])


def sealed(body: bytes) -> bytes:
    """A record whose header and checksum are right, whatever stands behind them."""
    return b"X\x01" + zlib.crc32(body).to_bytes(4, "little") + body


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\x91",  # a list of one, without the one
        b"\xc1",
        b"\xa1\xff",  # text that is not UTF-8
        b"\x91" * 100_000,
        b"\xd4\x02\x00",  # an extension that nobody has defined
        b"\xd4\x01\x01",  # an array without a type
        b"\xd5\x01\x02|O",
        b"\xc7\x05\x01\x03<i8\x00",  # an array of an eighth of a number
    ],
)
def test_a_body_that_was_never_packed_is_refused_behind_a_right_checksum(body: bytes) -> None:
    with pytest.raises(BrokenRecordError):
        unpack(b"X", 1, sealed(body))


@pytest.mark.parametrize("value", [object(), np.array([object()]), np.array(["text"])])
def test_objects_have_no_wire_form(value: object) -> None:
    with pytest.raises(TypeError, match="no wire form"):
        pack(b"X", 1, {"a": value})
