"""The extension in C, where it was built: twins of what Python and numpy do, and nothing else.

Everything it makes is made without it too, to the same bytes; the tests hold one against the other.
"""

from __future__ import annotations

import importlib
from typing import Any


def _extension() -> Any:
    """None where there was no compiler when the package was installed."""
    try:
        return importlib.import_module("stream._native")
    except ImportError:
        return None


EXTENSION = _extension()
IS_BUILT = EXTENSION is not None
IN_USE = IS_BUILT
"""Of what is not parsing (see `record_columns`): False does all of it without the extension."""
