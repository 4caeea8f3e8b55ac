"""The extension in C, where it was built: twins of what numpy does in integers, of what Python does
with sums and powers bit for bit, and of thresholds, which are rounded to integers: where the last
digits decide, numpy does.

Whatever it makes is made without it too, to the same bytes; the tests hold one against the other.
"""

from __future__ import annotations

import importlib
from typing import Any


def _extension() -> Any:
    """None where there was no compiler when the package was installed."""
    try:
        return importlib.import_module("detectors._native")
    except ImportError:
        return None


EXTENSION = _extension()
IS_BUILT = EXTENSION is not None
IN_USE = IS_BUILT
"""False does all of it with numpy."""
