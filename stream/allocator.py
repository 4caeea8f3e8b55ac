"""The C library's allocator, told that memory given back is soon wanted again, and the collector
of cycles, told to look for them more rarely. What nobody wanted again is given back now and then.

As it comes, glibc hands the top of the heap back to the system whenever 128 kB of it are free, and
maps larger blocks one by one: arrays of a batch are such, and to have their pages made anew each
time costs several times what is done with them. See `man 3 mallopt`.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import sys
from typing import Any

from stream import native

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_KEPT_BYTES = 64 << 20  # at the top of the heap
_LOOKS = (20_000, 20, 20)  # for cycles: with what many models hold, looking costs a seventh of all
_MAPPED_BYTES = 4 << 20  # blocks from which the system is asked, and gets them back at once


def collect_rarely() -> None:
    """Nothing that events make has cycles: what is done with goes by itself."""
    gc.set_threshold(*_LOOKS)


def give_back() -> bool:
    """All whole pages that are free, wherever they are: references and windows are made in several
    times the memory that they take in the end. Whether it could be said. O(free blocks)."""
    trim = _of_the_library("malloc_trim")
    return trim is not None and bool(trim(0))


def keep_freed_memory() -> bool:
    """Whether it could be said; once, when a process begins."""
    mallopt = _of_the_library("mallopt")
    if mallopt is None:
        return False
    return bool(mallopt(_TRIM_THRESHOLD, _KEPT_BYTES) and mallopt(_MMAP_THRESHOLD, _MAPPED_BYTES))


def keep_no_arrays() -> bool:
    """Small arrays that are freed go back to the C library; whether that could be said. numpy keeps
    up to seven of each size below 1 kB, each of which may hold a page."""
    if not native.IS_BUILT:
        return False
    numpy = importlib.import_module("numpy._core._multiarray_umath")
    native.EXTENSION.keep_no_arrays(numpy._ARRAY_API)
    return True


def _of_the_library(name: str) -> Any:
    if not sys.platform.startswith("linux"):
        return None
    return getattr(ctypes.CDLL(None), name, None)
