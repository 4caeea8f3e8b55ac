"""Mutation testing: each small mistake in a module that matters most, against its fast tests.

python -m tests.mutation [MODULE...]        all modules of the plan, or these
python -m tests.mutation MODULE --only TEXT  the mutants whose name holds this text, with a diff

What was killed is remembered in .cache/mutation while the module stays as it is (tests are only
added); --afresh forgets it. Exits with 1 where fewer than 85 % of a module are killed.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.mutation.mutants import Mutant, mutants
from tests.mutation.plan import PLAN
from tests.mutation.trial import Court, source_of

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "mutation"
ENOUGH = 0.85


def main() -> int:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("mutation", description=__doc__, formatter_class=style)
    parser.add_argument("modules", nargs="*", metavar="MODULE", help=", ".join(PLAN))
    parser.add_argument("--only", help="part of a mutant's name")
    parser.add_argument("--afresh", action="store_true")
    given = parser.parse_args()
    shares = [_module(name, given.only, given.afresh) for name in given.modules or PLAN]
    return 0 if all(share >= ENOUGH for share in shares) else 1


def _module(name: str, only: str | None, afresh: bool) -> float:
    """The share that is killed; prints what survives."""
    source = source_of(name).read_text(encoding="utf-8")
    kept = KEPT / f"{name}-{hashlib.sha256(source.encode()).hexdigest()[:12]}.json"
    killed = set(json.loads(kept.read_text())) if kept.exists() and not afresh else set()
    wanted = [m for m in mutants(source) if only is None or only in m.name]
    survivors: list[Mutant] = []

    def work(court: Court) -> None:
        start = time.monotonic()
        if not court.survives(None, 600):
            raise RuntimeError(f"{name}: its tests fail without any mutant")
        limit_s = 20 + 10 * (time.monotonic() - start)
        for mutant in wanted:
            if mutant.name in killed and only is None:
                continue
            if not court.survives(mutant, limit_s):
                killed.add(mutant.name)
                KEPT.mkdir(parents=True, exist_ok=True)
                kept.write_text(json.dumps(sorted(killed)))
                continue
            survivors.append(mutant)
            print(f"  survives: {name}.py:{mutant.line} {mutant.name}", flush=True)
            if only is not None:
                print(_difference(source, mutant))

    start = time.monotonic()
    Court(name, PLAN[name], work).sit()
    return _said(name, wanted, survivors, time.monotonic() - start)


def _said(
    name: str, wanted: Sequence[Mutant], survivors: Sequence[Mutant], seconds: float
) -> float:
    share = 1 - len(survivors) / max(1, len(wanted))
    killed = len(wanted) - len(survivors)
    print(f"{name}: {killed} of {len(wanted)} killed, {share:.1%} ({seconds:.0f} s)", flush=True)
    return share


def _difference(source: str, mutant: Mutant) -> str:
    before, after = ast.unparse(ast.parse(source)), ast.unparse(mutant.tree)
    return "\n".join(difflib.unified_diff(before.split("\n"), after.split("\n"), n=1, lineterm=""))


if __name__ == "__main__":
    sys.exit(main())
