"""Fuzzing of every decoder: any bytes are understood or refused, and never anything else.

python -m tests.fuzz --seconds N [--target NAME]     all targets in turn, N seconds together
python -m tests.fuzz --target NAME --input FILE      one input again
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS


def main() -> int:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("fuzz", description=__doc__, formatter_class=style)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--target", choices=TARGETS, action="append")
    parser.add_argument("--input", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if given.input is not None:
        for name in given.target or TARGETS:
            TARGETS[name](given.input.read_bytes())
        return 0
    names = given.target or list(TARGETS)
    with tempfile.TemporaryDirectory() as corpora:
        for name in names:
            (Path(corpora) / name).mkdir()
            for number, value in enumerate(seeds(name)):
                (Path(corpora) / name / str(number)).write_bytes(value)
        each = [corpora, str(given.seconds / len(names)), str(given.seed), *names]
        command = [sys.executable, "-m", "tests.fuzz.forks", *each]
        return subprocess.run(command, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
