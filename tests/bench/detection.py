"""Detection: false alarms and delays of the detectors, beside the best possible and river's.

scripts/bench detection                  short form: some three minutes of processor time
scripts/bench detection --full           some forty
scripts/bench detection --full --share 0.2    a fifth of that
scripts/bench detection --only G1,G3     of G1, G1m, judged, G2, G3 (with G4: misses), G5, G6,
                                         hours, season, adwin, peers
scripts/bench detection --plot FILE.svg  delay against false alarms, of peers
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tests.bench import detection_delays as delay
from tests.bench import detection_false as quiet
from tests.bench import detection_fresh as fresh
from tests.bench import detection_hours as hours
from tests.bench import detection_judged as judged
from tests.bench import detection_peers as peers
from tests.bench import detection_season as season
from tests.bench import detection_unseen as unseen
from tests.bench.detection_delays import SHIFTS
from tests.bench.detection_draws import DISTRIBUTIONS

Rows = list[dict[str, Any]]
GOALS = ("G1", "G1m", "judged", "G2", "G3", "G5", "G6", "hours", "season", "adwin", "peers")
SEED = 20261128


@dataclass(frozen=True)
class Size:
    """How much is drawn."""

    references: int  # G1
    length: int
    models: int  # G1m
    predictions: int
    fresh: int  # G2, series of each kind
    runs: int  # G3
    dependent: int  # G5, series
    peer_runs: int
    peer_quiet: int
    unseen: int  # G6, seeds of each stream
    rows: int
    change: int

    def times(self, share: float) -> Size:
        """Fewer series and runs; streams stay as long, or rare alarms would be cut off."""
        most = {"references", "models", "fresh", "runs", "dependent", "peer_runs", "peer_quiet",
                "unseen"}  # fmt: skip
        fewer = {name: max(min(2, getattr(self, name)), round(share * getattr(self, name)))
                 for name in most}  # fmt: skip
        return replace(self, **fewer)


SHORT = Size(200, 50_000, 40, 50_000, 500, 100, 30, 20, 200_000, 1, 24_000, 18_000)
FULL = Size(200, 500_000, 100, 1_000_000, 5_000, 1_000, 100, 100, 3_000_000, 4, 60_000, 40_000)


def options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--full", action="store_true", help="as much as the goals ask for")
    parser.add_argument("--share", type=float, default=1.0, help="of the series and runs")
    parser.add_argument("--only", default=",".join(GOALS), help="of " + ", ".join(GOALS))
    parser.add_argument("--plot", type=Path, help="write delay against false alarms here, as SVG")


def main(given: argparse.Namespace) -> dict[str, Any]:
    size, asked = (FULL if given.full else SHORT).times(given.share), given.only.split(",")
    unknown = set(asked) - set(GOALS)
    if unknown:
        raise SystemExit(f"scripts/bench detection: unknown: {', '.join(sorted(unknown))}")
    found: dict[str, Any] = {"full": given.full, "share": given.share, "seed": SEED}
    for goal in asked:
        began_s = time.process_time()
        rows = list(globals()[f"_{goal.lower()}"](size))
        found[goal] = rows
        print(table(goal, rows), flush=True)
        took_s = time.process_time() - began_s
        print(f"({took_s:.0f} s of processor time, seed {SEED})\n", flush=True)
    if given.plot and "peers" in found:
        from tests.bench.detection_plot import svg

        shown = [r for r in found["peers"] if r["shift"] == peers.PLOTTED.name]
        title = "A rate that goes from 0.10 to 0.20: how late, at which price"
        given.plot.write_text(svg(shown, title, peers.PLOTTED.published), encoding="utf-8")
    return found


def told(found: dict[str, Any]) -> str:
    """What was printed on the way is not printed again."""
    return f"seed {found['seed']}, {'full' if found['full'] else 'short'} form"


# -- the goals


def _g1(size: Size) -> Iterator[dict[str, Any]]:
    for count in (10_000, 50_000):
        for name in DISTRIBUTIONS:
            yield quiet.single(name, count, series=size.references, length=size.length, seed=SEED)


def _g1m(size: Size) -> Iterator[dict[str, Any]]:
    yield quiet.models(models=size.models, length=size.predictions, count=10_000, seed=SEED)


def _judged(size: Size) -> Iterator[dict[str, Any]]:
    models = max(size.models // 8, 1)
    for scores in judged.SCORES:
        yield judged.quiet(scores, models=models, length=size.predictions, seed=SEED)
    for what in judged.CHANGES:
        yield judged.found(what, models=max(models // 2, 2), length=100_000, seed=SEED)


def _g2(size: Size) -> Iterator[dict[str, Any]]:
    rate = quiet.SHIPPED * quiet.BUDGET
    for kind in fresh.KINDS:
        yield fresh.quiet(kind, series=size.fresh, length=5_000, rate=rate, seed=SEED)
    runs = size.runs
    for before in (0.0, 0.001):
        yield fresh.found(before, 0.3, at=500, within=100, series=runs, rate=rate, seed=SEED)
    yield fresh.found(0.1, 0.3, at=2000, within=300, series=runs, rate=rate, seed=SEED)


def _g3(size: Size) -> Iterator[dict[str, Any]]:
    forms = {
        "50k reference, 1 per 1M": {"count": 50_000, "rate": quiet.BUDGET},
        "50k reference, as shipped (half)": {"count": 50_000, "rate": quiet.SHIPPED * quiet.BUDGET},
        "10k reference, 1 per 1M": {"count": 10_000, "rate": quiet.BUDGET},
        "50k reference, part of a model's budget (0.15)": {
            "count": 50_000, "rate": 0.3 * quiet.SHIPPED * quiet.BUDGET},
        "50k reference, 1 per 1M, panes of 50": {
            "count": 50_000, "rate": quiet.BUDGET, "pane": 50},
    }  # fmt: skip
    for form, how in forms.items():
        rows = [delay.delays(s, series=size.runs, seed=SEED, **how) for s in SHIFTS]
        for row in rows:
            yield {"form": form} | row
        if how["count"] == 10_000:  # a tilt of 0.15 σ is the smallest that such a reference allows
            rows = [r for r, s in zip(rows, SHIFTS, strict=True) if s.sigma >= 0.15]
        yield {"form": form, "shift": "all", **delay.summary(rows)}


def _g5(size: Size) -> Iterator[dict[str, Any]]:
    cases = (("ar 0.3", 50_000), ("ar 0.5", 50_000), ("ar 0.7", 50_000), ("ar 0.9", 200_000),
             ("ar 0.7", 10_000), ("ar 0.9", 10_000), ("season", 30_000))  # fmt: skip
    for kind, count in cases:
        yield quiet.dependent(kind, count, series=size.dependent, length=size.length, seed=SEED)


def _g6(size: Size) -> Iterator[dict[str, Any]]:
    yield from unseen.table(size.unseen, size.rows, size.change)


def _hours(size: Size) -> Iterator[dict[str, Any]]:
    for kind in hours.KINDS:
        for of in hours.OF:
            yield hours.quiet(kind, of, days=4 * size.dependent, seed=SEED)


def _season(size: Size) -> Iterator[dict[str, Any]]:
    models = max(size.dependent // 15, 1)
    yield season.quiet(models=models, days=2 * models + 6, seed=SEED)
    yield season.found(models=models, change=6, seed=SEED)


def _adwin(size: Size) -> Iterator[dict[str, Any]]:
    """ADWIN after the history that Leeway has in G3, about where it alarms as often."""
    for place in range(3):
        yield from peers.measure(
            "ADWIN", place, SHIFTS, runs=2 * size.peer_runs, quiet=2 * size.peer_quiet,
            horizon=20_000, seed=SEED, history=50_000,
        )  # fmt: skip


def _peers(size: Size) -> Iterator[dict[str, Any]]:
    for rate in (1e-5, 1e-6, 1e-7):
        for count in (peers.HISTORY, 50_000):
            yield peers.leeway(
                peers.PLOTTED, rate, count, runs=5 * size.peer_runs,
                quiet=10 * size.peer_quiet, horizon=20_000, seed=SEED,
            )  # fmt: skip
    for name, settings in peers.SETTINGS.items():
        for place in range(len(settings)):
            shifts = SHIFTS if place == 0 else (peers.PLOTTED,)
            yield from peers.measure(
                name, place, shifts, runs=size.peer_runs, quiet=size.peer_quiet,
                horizon=5_000, seed=SEED,
            )  # fmt: skip


# -- tables

COLUMNS = {
    "G1": ("distribution", "reference", "alerts", "per_million", "upper", "most_of_one_series",
           "firing_share"),
    "G1m": ("models", "predictions", "mean_per_million", "upper", "share_above_3_per_million"),
    "judged": ("change", "scores", "predictions", "alerts", "per_million", "found", "early",
               "delay"),
    "G2": ("kind", "series", "alerts", "per_million", "change", "within", "found", "early"),
    "G3": ("form", "shift", "delay", "oracle", "published", "ratio", "missed", "worst"),
    "G5": ("dependence", "reference", "tau", "smallest_tilt", "alerts", "per_million", "upper"),
    "G6": ("stream", "detector", "rows", "false", "missed", "runs", "delay"),
    "hours": ("values", "of", "rows", "tau", "told", "per_million"),
    "season": ("change", "models", "predictions", "alerts", "early", "per_million", "found",
               "hours"),
    "adwin": ("detector", "setting", "shift", "per_million", "mean", "missed"),
    "peers": ("detector", "setting", "shift", "per_million", "mean", "missed"),
}  # fmt: skip


def table(goal: str, rows: Rows) -> str:
    """Columns as wide as they need to be."""
    columns = COLUMNS[goal]
    cells = [[_cell(_flat(row), name) for name in columns] for row in rows]
    lines = [list(columns), *cells]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    return "\n".join(
        [goal, *("  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
                 for line in lines)]
    )  # fmt: skip


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    if "leeway" in row:
        ours, best = row["leeway"], row["oracle"]["mean"]
        return row | {
            "delay": ours["mean"],
            "missed": ours["missed"],
            "oracle": best,
            "published": row["published_oracle"],
        }
    if "geometric_mean" in row:
        return row | {"ratio": row["geometric_mean"], "missed": row["most_missed"]}
    return row


def _cell(row: dict[str, Any], name: str) -> str:
    value = row.get(name, "")
    return f"{value:,.3g}" if isinstance(value, float) and abs(value) < 100 else (
        f"{value:,.0f}" if isinstance(value, float) else
        f"{value:,}" if isinstance(value, int) else str(value))  # fmt: skip
