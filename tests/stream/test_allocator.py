"""Memory that is freed is kept for what comes next, until it is given back."""

from __future__ import annotations

import subprocess
import sys

import pytest

_USE = """
import resource, sys
import numpy as np
from stream.allocator import keep_freed_memory
told = sys.argv[1] == "told" and keep_freed_memory()
x = np.ones(40_000)
def faults(): return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
y = x * 2 + (x - 1) * 3
before = faults()
for _ in range(200):
    y = x * 2 + (x - 1) * 3
print(told, faults() - before)
"""


def _faults(how: str) -> tuple[str, int]:
    done = subprocess.run(
        [sys.executable, "-c", _USE, how], check=True, capture_output=True, text=True
    )
    told, faults = done.stdout.split()
    return told, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's mallopt")
def test_arrays_of_a_batch_do_not_have_their_pages_made_anew() -> None:
    told, faults = _faults("told")
    if told == "False":
        pytest.skip("another C library")
    assert faults < 200 <= _faults("as it comes")[1]


_GIVEN = """
from pathlib import Path
from stream.allocator import _of_the_library, give_back, keep_freed_memory
keep_freed_memory()
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
kept, freed = [], []
for _ in range(2_000):
    freed.append(bytes(20_000))
    kept.append(bytes(600))
before = resident()
del freed
between = resident()
is_there = _of_the_library("malloc_trim") is not None
assert give_back() == is_there
print(is_there, before - between, before - resident())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's malloc_trim")
def test_what_is_free_between_what_is_held_is_given_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", _GIVEN], check=True, capture_output=True, text=True
    )
    told, by_itself, asked = done.stdout.split()
    if told == "False":
        pytest.skip("another C library")
    pages = 2_000 * 20_000 // 4_096
    assert int(by_itself) < pages // 10
    assert int(asked) > pages // 2


_ARRAYS = """
import sys
import numpy as np
from pathlib import Path
from stream.allocator import _of_the_library, give_back, keep_freed_memory, keep_no_arrays
keep_freed_memory()
told = sys.argv[1] == "told" and keep_no_arrays()
name = np._core.multiarray.get_handler_name(np.zeros(3))
def resident():
    return int(Path("/proc/self/statm").read_text().split()[1])
before = resident()
freed, kept = [], []
for size in range(1, 1_000):
    for _ in range(7):
        freed.append(np.zeros(size, np.uint8))
        kept.append(bytes(3_000))
del kept, freed
give_back()
print(told, name, resident() - before)
"""


def _left(how: str) -> tuple[str, str, int]:
    done = subprocess.run(
        [sys.executable, "-c", _ARRAYS, how], check=True, capture_output=True, text=True
    )
    told, name, pages = done.stdout.split()
    return told, name, int(pages)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
def test_small_arrays_that_were_freed_hold_no_page() -> None:
    told, name, pages = _left("told")
    if told == "False":
        pytest.skip("no extension, or another C library")
    assert name == "leeway"
    assert 4 * pages < _left("as it comes")[2]


def test_arrays_are_cleared_and_grow_as_before() -> None:
    code = """
import numpy as np
from stream.allocator import keep_no_arrays
keep_no_arrays()
for size in [*range(300), 1_023, 1_024, 1_025, 1 << 20]:
    dirty = np.full(size, 255, np.uint8)
    del dirty
    assert not np.zeros(size, np.uint8).any(), size
    assert not np.zeros((size, 2)).any(), size
grown = np.arange(5)
grown.resize(1_000)
assert grown[:5].tolist() == [0, 1, 2, 3, 4] and not grown[5:].any()
"""
    subprocess.run([sys.executable, "-c", code], check=True)
