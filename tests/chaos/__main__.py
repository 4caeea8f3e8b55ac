"""Long proofs on a real Kafka (Java 17 and Maven), with real worker processes.

scripts/chaos kafka --kills N [--seed S]              kills of workers and broker at random moments
scripts/chaos traffic [--only NAME] [--minutes M]     kinds of traffic, one row each

--out FILE writes what was found as JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import shutil
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from tests.chaos import kills, traffic
from tests.chaos.play import Ground, Row, traffic_ground

_UNIT_S = 2.0  # what the short form of a scenario takes beside the start of its workers


def main() -> int:
    style = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser("chaos", description=__doc__, formatter_class=style)
    proofs = parser.add_subparsers(required=True, dest="proof")
    of_kafka = proofs.add_parser("kafka")
    of_kafka.add_argument("--kills", type=int, default=200)
    of_kafka.add_argument("--seed", type=int, default=1)
    of_kafka.add_argument("--keep", type=Path, help="a folder for the workers' logs")
    of_traffic = proofs.add_parser("traffic")
    of_traffic.add_argument("--only", choices=sorted(traffic.SCENARIOS))
    of_traffic.add_argument("--minutes", type=float, default=0.0, help="about so long, all of them")
    for proof in (of_kafka, of_traffic):
        proof.add_argument("--out", type=Path)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that nothing is left running
    return _kills(given) if given.proof == "kafka" else _traffic(given)


def _kills(given: argparse.Namespace) -> int:
    folder = given.keep or Path(tempfile.mkdtemp(prefix="leeway-chaos-"))
    folder.mkdir(parents=True, exist_ok=True)
    run = asyncio.run(kills.run_kills(given.seed, given.kills, folder))
    print("\n".join(kills.table(run)))
    if given.keep is None and run.is_right:
        shutil.rmtree(folder)
    else:
        print(f"the workers' logs: {folder}", file=sys.stderr)
    _write(given.out, {**asdict(run), "passed": run.is_right})
    return 0 if run.is_right else 1


def _traffic(given: argparse.Namespace) -> int:
    names = [given.only] if given.only else list(traffic.SCENARIOS)
    scale = max(1.0, given.minutes * 60 / len(names) / _UNIT_S)
    rows = []
    with (
        tempfile.TemporaryDirectory(prefix="leeway-traffic-") as made,
        traffic_ground(Path(made), scale) as ground,
    ):
        for name in names:
            rows.append(_played(name, ground))
            print("\n".join([rows[-1].line(), *rows[-1].wrong[:10]]), flush=True)
    failed = [row.name for row in rows if row.wrong]
    print(f"FAIL: {', '.join(failed)}" if failed else f"PASS: {len(rows)} kinds of traffic")
    _write(given.out, {"passed": not failed, "rows": [asdict(row) for row in rows]})
    return 1 if failed else 0


def _played(name: str, ground: Ground) -> Row:
    try:
        return asyncio.run(traffic.SCENARIOS[name](ground))
    except Exception as error:  # noqa: BLE001 the others are played all the same
        return Row(name, wrong=[f"it did not end: {error!r}"[:5_000]])


def _write(path: Path | None, found: Any) -> None:
    if path is not None:
        path.write_bytes(orjson.dumps(found, option=orjson.OPT_INDENT_2))


if __name__ == "__main__":
    sys.exit(main())
