"""What does not fit is refused by the reading of cells in C; what it makes is tested where it is
used (tests/stream/test_unit_reading.py)."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import pytest

from detectors import native

pytestmark = pytest.mark.skipif(
    not native.IS_BUILT and os.environ.get("CI") != "true", reason="no compiler"
)


def ints(*values: int) -> Any:
    return np.array(values, np.int64)


def table() -> list[Any]:
    """One feature of two cells and two bins, of which one pane has three values."""
    asked = ints(0), ints(0), ints(0), ints(1), ints(2)
    form = np.array([0.0, 2**-13])  # so that scores are small numbers
    slots = ints(0, 2), ints(5), form, ints(0, 1), ints(5, 7)
    steps = (
        ints(1),
        ints(2),
        np.array([0, 255], np.uint8),
        np.array([1, 3], np.uint16),
        np.array([2], np.uint8),
    )
    counted = ints(0, 0), ints(5, 8), ints(1, 2), ints(3)
    return [*asked, *slots, *steps, *counted, *(np.zeros((1, 4), np.int64) for _ in range(3))]


def test_cells_are_read() -> None:
    given = table()
    native.EXTENSION.ranks(1, 4, tuple(given))
    x, n, xx = given[-3:]
    assert x.tolist() == [[-2 + 4, 2, 1, 2]]
    assert n.tolist() == [[3, 3, 3, 3]]
    assert xx.tolist() == [[4 + 8, 2, 1, 2]]


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (0, ints(1)), (0, ints()), (1, ints(1)), (1, ints(-1)), (1, ints(0, 0)), (2, ints(4)),
        (3, ints(4)), (4, ints(3)), (5, ints(0, 3)), (5, ints(1, 2)), (5, ints(0, 0)), (6, ints()),
        (7, ints(1)), (8, ints(0, 2)), (8, ints(1, 1)), (9, ints(5)), (10, ints()), (11, ints()),
        (12, ints(0)), (13, np.zeros(4, np.uint16)), (13, np.zeros(2, np.uint8)),
        (13, ints(1, 2**62)),
        (13, ints(2**40, 1)), (14, np.zeros(0, np.uint8)), (15, ints(0)), (16, ints(5)),
        (17, ints(5)), (17, np.ones(2, np.int32)), (19, np.zeros((1, 3), np.int64)),
        (20, np.zeros((2, 4), np.int64)), (21, np.zeros(4, np.int16)),
    ],
)  # fmt: skip
def test_ranks_that_do_not_fit_are_refused(place: int, other: Any) -> None:
    given = table()
    given[place] = other
    with pytest.raises(ValueError, match=r"\w"):
        native.EXTENSION.ranks(1, 4, tuple(given))


@pytest.mark.parametrize(("panes", "width"), [(-1, 4), (1, -4), (2, 4), (1, 2**62)])
def test_panes_of_another_shape_are_refused(panes: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        native.EXTENSION.ranks(panes, width, tuple(table()))


def test_panes_that_do_not_ascend_are_refused() -> None:
    given = table()
    given[15:18] = ints(0, 0, -5), ints(5, 8, 5), ints(1, 2, 1)
    with pytest.raises(ValueError, match="ascend"):
        native.EXTENSION.ranks(1, 4, tuple(given))


def test_panes_far_below_those_of_a_feature_are_refused() -> None:
    """A difference of places that no 64 bits hold must not become a place."""
    given = table()
    given[0] = ints(1)  # the second of two features
    given[15:19] = ints(1, 1, -(2**63)), ints(5, 8, 5), ints(1, 2, 1), ints(3, 3)
    with pytest.raises(ValueError, match="ascend"):
        native.EXTENSION.ranks(1, 4, tuple(given))


def counted() -> list[Any]:
    asked = ints(0, -1), ints(1, 0), np.array([[0, 1, 0, 1], [-1] * 4]), np.array([False, True])
    kinds = ints(7), ints(2), ints(0), ints(1)
    return [*asked, *kinds, ints(10), *(np.zeros((1, 2), np.int64) for _ in range(3))]


def test_faults_are_counted() -> None:
    given = counted()
    native.EXTENSION.faults(2, tuple(given))
    assert [array.tolist() for array in given[-3:]] == [[[10, 3]], [[10, 10]], [[10, 3]]]


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (0, ints(0)), (0, ints(1, 0)), (1, ints(2, 0)), (1, ints(-1, 0)), (2, ints(1)),
        (3, np.zeros(1, np.bool_)), (3, ints(0, 1)), (4, ints()), (5, ints()), (7, ints(1, 2)),
        (8, ints(1, 2)), (9, np.zeros((1, 3), np.int64)), (11, ints(0)),
    ],
)  # fmt: skip
def test_faults_that_do_not_fit_are_refused(place: int, other: Any) -> None:
    given = counted()
    given[place] = other
    with pytest.raises(ValueError, match=r"\w"):
        native.EXTENSION.faults(2, tuple(given))


def rows() -> tuple[list[Any], list[Any]]:
    cells = [(np.array([2, 1, 2], np.uint8), np.array([0.0, 7.0, 1e9]).view(np.uint64))]
    slots = ints(0, 2), ints(0), np.array([0.0, 2**-13])
    steps = ints(), ints(), np.array([0, 2], np.uint8), np.array([1, 3], np.uint16)
    return cells, [ints(0), ints(1), *slots, *steps, np.zeros((3, 2), np.int64)]


def test_rows_are_scored() -> None:
    cells, given = rows()
    native.EXTENSION.row_scores(2, 2, cells, tuple(given))
    assert given[-1].tolist() == [[0, -2], [0, 0], [0, 2]]


@pytest.mark.parametrize(
    ("place", "other"),
    [
        (0, ints(1)), (0, ints(-1)), (0, ints(0, 0)), (1, ints(2)), (1, ints(-1)), (2, ints(0, 3)),
        (2, ints(0, 0)), (3, ints()), (4, ints()), (5, ints(0)), (6, ints(0)), (7, ints(0, 2)),
        (8, ints(0)),
        (9, np.zeros((2, 2), np.int64)), (9, np.zeros(5, np.int64)),
    ],
)  # fmt: skip
def test_rows_that_do_not_fit_are_refused(place: int, other: Any) -> None:
    cells, given = rows()
    given[place] = other
    with pytest.raises(ValueError, match=r"\w"):
        native.EXTENSION.row_scores(2, 2, cells, tuple(given))


def test_cells_that_do_not_fit_are_refused() -> None:
    (pair,), given = rows()
    for bad in ([], [pair, pair], [pair[:1]], [[*pair]], [(pair[0][:2], pair[1])], [pair[::-1]]):
        with pytest.raises(ValueError, match=r"\w"):
            native.EXTENSION.row_scores(2, 2, bad, tuple(given))
    with pytest.raises(ValueError, match=r"\w"):
        native.EXTENSION.row_scores(0, 2, [pair], tuple(given))
