"""Targets, one after the other, each in a fork: libFuzzer never returns, and what it is guided by
takes longer to import than a target is fuzzed in the tests.

python -m tests.fuzz.forks CORPORA SECONDS SEED TARGET...     CORPORA/TARGET has the seeds of each
"""

from __future__ import annotations

import hashlib
import importlib.util
import io
import multiprocessing
import os
import sys
import time
import traceback
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from pathlib import Path
from random import Random

FOUND = Path(".cache/fuzz")
LONGEST_INPUT = 6_000
_GRACE_S = 60  # to start, and to end
_LAST_LINES = 60
_TRIED = "stat::number_of_executed_units:"  # as libFuzzer says it

Target = Callable[[bytes], None]


def main() -> int:
    corpora, seconds, seed, *names = sys.argv[1:]
    FOUND.mkdir(parents=True, exist_ok=True)
    is_guided = importlib.util.find_spec("atheris") is not None
    if not is_guided:
        told = "atheris has no wheel for this platform: seeds are mutated blindly, no coverage"
        print(told, file=sys.stderr, flush=True)
    targets, fuzz = (_instrumented(), _guided) if is_guided else (_plain(), _blindly)
    failed = []
    for name in names:
        said = Path(corpora) / f"{name}.out"
        given = (fuzz, _Told(name, targets[name]), Path(corpora) / name, float(seconds), int(seed))
        fork = multiprocessing.get_context("fork").Process(target=_told_to, args=(said, *given))
        said.touch()  # it may end before it has said anything
        fork.start()
        fork.join(float(seconds) + _GRACE_S)
        status = "hangs" if fork.exitcode is None else f"ended with {fork.exitcode}"
        fork.kill()
        lines = said.read_text(encoding="utf-8", errors="replace").splitlines()
        if fork.exitcode == 0 and (inputs := _inputs(lines)) is not None:
            print(f"{name:14} {inputs} inputs", flush=True)
        else:
            told = [*lines[-_LAST_LINES:], f"{name} {status}"]
            print(*told, sep="\n", file=sys.stderr, flush=True)
            failed.append(name)
    print(f"{len(names)} targets, {len(failed)} failed{': ' * bool(failed)}{', '.join(failed)}")
    return 1 if failed else 0


def _told_to(said: Path, fuzz: Callable[..., None], *given: object) -> None:
    """All that is said, by libFuzzer too, goes to this file."""
    with said.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    fuzz(*given)


def _inputs(said: list[str]) -> int | None:
    """How many were tried, from libFuzzer's last lines or our own; None: it ended before."""
    tried = [line.split()[1] for line in said if line.startswith(_TRIED)]
    return int(tried[-1]) if tried else None


def _plain() -> Mapping[str, Target]:
    from tests.fuzz.targets import TARGETS

    return TARGETS


def _instrumented() -> Mapping[str, Target]:
    import atheris

    with redirect_stderr(io.StringIO()), atheris.instrument_imports(include=["stream", "yaml"]):
        return _plain()


def _guided(told: _Told, corpus: Path, seconds: float, seed: int) -> None:
    import atheris

    options = [
        f"-max_total_time={max(1, round(seconds))}",
        f"-seed={seed}",
        f"-max_len={LONGEST_INPUT}",
        f"-artifact_prefix={FOUND}/libfuzzer-{told.name}-",
        "-rss_limit_mb=2048",
        "-timeout=20",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], told)
    atheris.Fuzz()


def _blindly(told: _Told, corpus: Path, seconds: float, seed: int) -> None:
    random = Random(seed)
    inputs = [path.read_bytes() for path in sorted(corpus.iterdir())]
    end, done = time.monotonic() + seconds, 0
    for value in inputs:
        told(value)
    while time.monotonic() < end:
        told(mutated(random, inputs))
        done += 1
    print(_TRIED, done, flush=True)


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

    def __init__(self, name: str, target: Target) -> None:
        self.name, self._target = name, target

    def __call__(self, data: bytes) -> None:
        try:
            self._target(data)
        except BaseException:
            path = FOUND / f"{self.name}-{hashlib.sha256(data).hexdigest()[:12]}"
            path.write_bytes(data)
            traceback.print_exc(limit=-6)
            print(f"again: scripts/chaos fuzz --target {self.name} --input {path}")
            print(f"input: {data[:400]!r}", flush=True)
            raise


if __name__ == "__main__":
    sys.exit(main())
