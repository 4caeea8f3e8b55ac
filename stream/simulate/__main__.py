"""The command line: `python -m stream.simulate OUT ...`."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Any

from stream.simulate.catalogue import described
from stream.simulate.spec import SpecError, read_spec
from stream.simulate.write import write


def main(arguments: list[str] | None = None) -> int:
    """0; 2 for a wrong argument or specification."""
    options = _parser().parse_args(arguments)
    if options.list:
        print(described())
        return 0
    if options.out is None:
        sys.stderr.write("simulate: where to? Name a directory (or --list)\n")
        return 2
    try:
        spec = read_spec(options.spec, _given(options))
    except SpecError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"simulate: {line}\n")
        return 2
    started = time.perf_counter()
    counts = write(options.out, spec, compress=options.gzip)
    took_s = time.perf_counter() - started
    events = sum(counts.values())
    print(
        f"{counts['predictions']:,} predictions and {counts['outcomes']:,} outcomes "
        f"in {options.out}, {events / took_s:,.0f} events/s"
    )
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="simulate",
        description="Writes the events of models in production, with the faults one chooses, "
        "and the truth about them.",
    )
    add = parser.add_argument
    add("out", type=Path, nargs="?", help="directory of the files")
    add("--list", action="store_true", help="describes models and faults")
    add("--spec", type=Path, help="a YAML file; options replace its settings, faults are added")
    add("--model", action="append", help="fraud (default), pricing; once for each")
    add("--rate", help="requests of each model: 10/s (default), 1/min, 5/h")
    add("--days", type=float, help="of event time (30)")
    add("--seed", type=int, help="the same seed, the same bytes (7)")
    add("--daily", help="amplitude of the daily season, such as 40%%")
    add("--weekly", help="amplitude of the weekly season")
    add("--label-median", help="until an outcome is observed, such as 1h (as the model has it)")
    add("--label-never", help="share of the outcomes that never come")
    add("--version", action="append", metavar="V[:SHARE[:ROLE]]", help="the first is the champion")
    add("--training", type=int, help="also writes so many requests of before the start")
    add("--fault", action="append", help="KIND[:TARGET]@ONSET[..END][,INTENSITY][,OPTION=VALUE]...")
    add("--gzip", action="store_true", help="compresses the files")
    return parser


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The options that were given, as a specification has them."""
    given: dict[str, Any] = {
        "seed": options.seed,
        "length": None if options.days is None else f"{round(options.days * 86_400_000)}ms",
        "models": options.model,
        "training": options.training,
        "faults": options.fault,
        "versions": options.version and [_version(text) for text in options.version],
        "traffic": {"rate": options.rate, "daily": options.daily, "weekly": options.weekly},
        "labels": {"median": options.label_median, "never": options.label_never},
    }
    for name in ("traffic", "labels"):
        given[name] = {key: value for key, value in given[name].items() if value is not None}
    return {key: value for key, value in given.items() if value is not None}


def _version(text: str) -> dict[str, Any]:
    return dict(zip(("version", "share", "role"), text.split(":", 2), strict=False))


if __name__ == "__main__":
    raise SystemExit(main())
