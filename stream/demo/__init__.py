"""The demo: real data through the real worker on an embedded broker, alerts on the terminal.

leeway demo [--rows N] [--seed S]                          runs it
leeway demo [--rows N] [--seed S] --write DIR [--gzip]     writes its events for `leeway backtest`
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path


def main(arguments: Sequence[str] = ()) -> int:
    """The exit code: 0; 1 for a failed run; 2 for a wrong argument (which argparse exits with)."""
    options = _parse(arguments)
    if options.write is None:
        from stream.demo import run  # late: the data alone needs no broker

        return run.main(rows=options.rows, seed=options.seed)
    from stream.demo import write

    write.write(options.write, rows=options.rows, seed=options.seed, compress=options.gzip)
    return 0


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    from stream.demo.events import SEED, around_the_drift

    parser = argparse.ArgumentParser(prog="leeway demo", description="The main job, here and now.")
    parser.add_argument("--rows", type=int, help="that many around the drift (default: all)")
    parser.add_argument("--seed", type=int, default=SEED, help="of the outcomes' delays")
    parser.add_argument("--write", type=Path, metavar="DIR", help="only write the events to files")
    parser.add_argument("--gzip", action="store_true", help="compress these files")
    options = parser.parse_args(arguments)
    if options.gzip and options.write is None:
        parser.error("--gzip goes with --write")
    if options.rows is not None:
        try:
            around_the_drift(options.rows)
        except ValueError as error:
            parser.error(f"--{error}")
    return options


__all__ = ["main"]
