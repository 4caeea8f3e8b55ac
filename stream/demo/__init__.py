"""The demo: real data through the real worker on an embedded broker, alerts on the terminal."""

from __future__ import annotations

from stream.demo.events import SEED


def main(rows: int | None = None, seed: int = SEED) -> int:
    """As `stream.demo.run.main`, imported when it is called: the data needs none of it."""
    from stream.demo import run

    return run.main(rows=rows, seed=seed)


__all__ = ["main"]
