"""Buckets by bits: how wide they are, that they are ordered, and what they cannot see."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detectors.distance import ks
from detectors.log_buckets import bucket_of, duration_edge_ms, middle_of

values = st.floats(allow_nan=False, allow_infinity=False)
normal = st.floats(1e-300, 1e300)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(values, values)
def test_buckets_keep_the_order_of_values(a: float, b: float) -> None:
    low, high = bucket_of(np.array([min(a, b), max(a, b)])).tolist()
    assert low <= high


@settings(max_examples=200, deadline=None, derandomize=True)
@given(normal, st.sampled_from([1.0, -1.0]))
def test_the_middle_is_within_1_6_percent_of_any_value_of_its_bucket(
    size: float, sign: float
) -> None:
    value = sign * size
    middle = float(middle_of(bucket_of(np.array([value])))[0])
    assert abs(middle - value) <= 1 / 64 * abs(value) * (1 + 1e-12)
    assert bucket_of(np.array([-value]))[0] == -bucket_of(np.array([value]))[0]


def test_zero_of_either_sign_is_bucket_zero() -> None:
    assert bucket_of(np.array([0.0, -0.0])).tolist() == [0, 0]
    assert middle_of(np.array([0])).tolist() == [0.0]


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.integers(0, 2**52))
def test_a_duration_edge_is_the_least_of_its_form_and_at_most_a_32nd_above(d: int) -> None:
    edge = int(duration_edge_ms(np.array([d]))[0])
    least = max(d, 1)
    candidates = [least] if least < 64 else []
    for k in range(48):
        mantissa = -(-least // 2**k)
        if 32 <= mantissa <= 64:
            candidates.append(mantissa * 2**k)
    assert edge == min(candidates)
    assert least <= edge <= least * 33 / 32


def test_buckets_alone_are_blind_to_years() -> None:
    """Why panes carry a row sample: 2015-2024 against 2018-2027 is a KS of 0.3; the buckets'
    edge at 2016 shows 0.1 of it, and of 2016-2024 against 2018-2027 nothing at all."""

    def seen(years: range) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
        return middle_of(bucket_of(np.array(years, np.float64)))

    assert ks(np.arange(2015.0, 2025.0), np.arange(2018.0, 2028.0)) == 0.3
    assert ks(seen(range(2015, 2025)), seen(range(2018, 2028))) == 0.1
    assert ks(seen(range(2016, 2025)), seen(range(2018, 2028))) == 0.0
