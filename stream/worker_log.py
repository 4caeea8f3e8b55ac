"""The log of a worker process: its own lines, and of the libraries' what they do not repeat."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable

_LIBRARIES = ("faust", "mode", "aiokafka")
_QUIET_S = 10.0
_TEMPLATES_MAX = 1_000


class Unrepeated(logging.Filter):
    """One line in ten seconds of each of the libraries' messages: without a broker aiokafka
    writes a hundred a second, and what the worker itself says would be lost among them."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._clock = clock
        self._said_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.name.partition(".")[0] not in _LIBRARIES:
            return True
        key, now_s = (record.name, str(record.msg)), self._clock()
        if now_s - self._said_s.get(key, -_QUIET_S) < _QUIET_S:
            return False
        if len(self._said_s) >= _TEMPLATES_MAX:
            self._said_s.clear()
        self._said_s[key] = now_s
        return True


def log_to_stderr() -> None:
    """Unless the process that we are in has set up logging itself."""
    if logging.getLogger().handlers:
        return
    logging.basicConfig(
        stream=sys.stderr, level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s"
    )
    for handler in logging.getLogger().handlers:
        handler.addFilter(Unrepeated())
    for name in _LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
