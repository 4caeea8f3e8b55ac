"""One target, in a process of its own: libFuzzer never returns.

python -m tests.fuzz.one TARGET CORPUS SECONDS SEED
"""

from __future__ import annotations

import hashlib
import importlib.util
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from random import Random

FOUND = Path(".cache/fuzz")
LONGEST_INPUT = 6_000


def main() -> None:
    name, corpus, seconds, seed = sys.argv[1:]
    if importlib.util.find_spec("atheris") is None:
        print("atheris has no wheel for this platform: seeds are mutated blindly, no coverage")
        _blindly(name, Path(corpus), float(seconds), int(seed))
    else:
        _guided(name, corpus, float(seconds), int(seed))


def _guided(name: str, corpus: str, seconds: float, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["stream", "yaml"]):
        from tests.fuzz.targets import TARGETS
    told = _Told(name, TARGETS[name])
    FOUND.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-seed={seed}",
        f"-max_len={LONGEST_INPUT}",
        f"-artifact_prefix={FOUND}/libfuzzer-{name}-",
        "-rss_limit_mb=2048",
        "-timeout=20",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, corpus], told)
    atheris.Fuzz()


def _blindly(name: str, corpus: Path, seconds: float, seed: int) -> None:
    from tests.fuzz.targets import TARGETS

    FOUND.mkdir(parents=True, exist_ok=True)
    random = Random(seed)
    inputs = [path.read_bytes() for path in sorted(corpus.iterdir())]
    told = _Told(name, TARGETS[name])
    end, done = time.monotonic() + seconds, 0
    for value in inputs:
        told(value)
    while time.monotonic() < end:
        told(mutated(random, inputs))
        done += 1
    print(f"{done} inputs")


def mutated(random: Random, inputs: list[bytes]) -> bytes:
    """A seed with a few bytes flipped, cut, repeated, replaced or taken from another seed."""
    made = bytearray(random.choice(inputs))
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        at = random.randrange(len(made) + 1)
        to = min(len(made), at + random.choice((1, 1, 2, 8, 64)))
        other = random.choice(inputs)
        start = random.randrange(len(other) + 1)
        made[at:to] = random.choice(
            (
                b"",
                bytes(random.randrange(256) for _ in range(to - at)),
                made[at:to] * random.choice((2, 3, 100)),
                other[start : start + random.choice((1, 4, 16, 64))],
                random.choice((b"null", b"1e999", b"-1", b'""', b"{}", b"[", b"\xff", b"\xc0")),
            )
        )
    return bytes(made[:LONGEST_INPUT])


class _Told:
    """The target, that says how an input which it refuses is run again."""

    def __init__(self, name: str, target: Callable[[bytes], None]) -> None:
        self._name, self._target = name, target

    def __call__(self, data: bytes) -> None:
        try:
            self._target(data)
        except BaseException:
            path = FOUND / f"{self._name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            traceback.print_exc(limit=-6)
            print(f"again: scripts/chaos fuzz --target {self._name} --input {path}")
            print(f"input: {data[:400]!r}", flush=True)
            raise


if __name__ == "__main__":
    main()
