"""What is read off values in their order is what numpy finds, without its masked arrays."""

import subprocess
import sys

import numpy as np
import pytest

from detectors.ordered import distinct, median


@pytest.mark.parametrize("kind", [np.int64, np.uint8, np.float64, "U3", object])
@pytest.mark.parametrize("size", [0, 1, 2, 300])
def test_distinct_values_are_those_of_numpy(kind: type, size: int) -> None:
    values = np.random.default_rng(size).integers(0, 40, size).astype(kind)
    if kind is object:
        values = values.astype(str).astype(object)
    found = distinct(values)
    assert found.tolist() == np.unique(values).tolist()
    assert found.dtype == values.dtype


@pytest.mark.parametrize("size", [1, 2, 3, 10, 11, 300])
def test_the_median_is_that_of_numpy(size: int) -> None:
    values = np.random.default_rng(size).lognormal(0.0, 3.0, size)
    assert median(values) == np.median(values)


def test_masked_arrays_are_not_loaded() -> None:
    code = (
        "import sys, numpy as np, detectors.ordered as d; d.distinct(np.arange(3)); d.median([1])"
    )
    code += "; assert 'numpy.ma' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
