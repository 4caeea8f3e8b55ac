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

_GRACE_S = 60  # to start, and to end


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
    targets = given.target or list(TARGETS)
    failed = [
        name for name in targets if not _fuzzed(name, given.seconds / len(targets), given.seed)
    ]
    print(f"{len(targets)} targets, {len(failed)} failed{': ' * bool(failed)}{', '.join(failed)}")
    return 1 if failed else 0


def _fuzzed(name: str, seconds: float, seed: int) -> bool:
    with tempfile.TemporaryDirectory() as corpus:
        for number, value in enumerate(seeds(name)):
            (Path(corpus) / str(number)).write_bytes(value)
        command = [sys.executable, "-m", "tests.fuzz.one", name, corpus, str(seconds), str(seed)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=seconds + _GRACE_S,
            check=False,
        )
    said = done.stdout.decode(errors="replace").splitlines()
    if done.returncode == 0:
        print(f"{name:14} {_inputs(said)}", flush=True)
        return True
    print(*said[-60:], sep="\n", file=sys.stderr, flush=True)
    return False


def _inputs(said: list[str]) -> str:
    """How many were tried, from libFuzzer's last lines or from our own."""
    tried = [line.split()[1] for line in said if line.startswith("stat::number_of_executed_units")]
    return f"{tried[-1]} inputs" if tried else "; ".join(said)


if __name__ == "__main__":
    sys.exit(main())
