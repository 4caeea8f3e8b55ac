"""`scripts/bench`: each part in a process of its own, one table each, one JSON file for all.

scripts/bench                   core, worker, scale and latency
scripts/bench core --out core.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec

from tests.bench.measure import circumstances

PARTS = ("core", "worker", "scale", "latency")  # those that run without a name
ASKED = ("peers", "detection")


def _alone(name: str, given: list[str]) -> int:
    """One part, here."""
    part = import_module(f"tests.bench.{name}")
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        f"scripts/bench {name}", description=part.__doc__, formatter_class=shape
    )
    parser.add_argument("--out", type=Path, help="write the figures here, as JSON")
    part.options(parser)
    options = parser.parse_args(given)
    found: dict[str, Any] | None = part.main(options)
    if found is None:
        return 0
    print(part.told(found), flush=True)
    if options.out:
        figures = msgspec.json.encode(circumstances() | {name: found})
        options.out.write_bytes(msgspec.json.format(figures) + b"\n")
    return 0


def _all(given: list[str]) -> int:
    parser = argparse.ArgumentParser("scripts/bench", description=__doc__)
    parser.add_argument("--out", type=Path, help="write all figures here, as JSON")
    options = parser.parse_args(given)
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as directory:
        for name in PARTS:
            out = Path(directory) / f"{name}.json"
            command = [sys.executable, "-m", "tests.bench", name, "--out", str(out)]
            if subprocess.run(command, check=False).returncode:
                return 1
            print()
            figures |= msgspec.json.decode(out.read_bytes())
    if options.out:
        options.out.write_bytes(msgspec.json.format(msgspec.json.encode(figures)) + b"\n")
    return 0


def main() -> int:
    given = sys.argv[1:]
    if given and given[0] in PARTS + ASKED:
        return _alone(given[0], given[1:])
    return _all(given)


if __name__ == "__main__":
    sys.exit(main())
