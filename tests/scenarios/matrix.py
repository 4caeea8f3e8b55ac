"""Each failure x seeds x rates of traffic: is it caught, when, and what else is told?

scripts/chaos scenarios [--only ROW]... [--rate RATE]... [--seeds N] [--out FILE.json]

Default settings, but for the span of the reference, which at a high rate need not be a day. A fault
begins when the reference is there and its labels have ended, and lasts for as many predictions as
the reference has, judged. One that is not caught is declared where each of its series has moved by
less than the smallest change that is told within as many values 19 times in 20 (`power`), and both
are printed. Exit 1 where one is missed and not declared.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from stream.drill import Report, played
from stream.events import Alert
from stream.pipeline import Pipeline
from stream.rules import ReferenceRule, Rules
from stream.simulate.spec import Spec
from tests.scenarios.detectable import changes
from tests.scenarios.play import references_of, settings

MINUTE_MS, HOUR_MS = 60_000, 3_600_000


@dataclass(frozen=True, slots=True)
class Rate:
    name: str
    per_s: float
    span_ms: int  # of the reference
    labels_ms: int  # median
    seeds: int

    @property
    def reference_ms(self) -> int:
        return max(self.span_ms, round(PREDICTIONS / self.per_s * 1_000))

    @property
    def onset_ms(self) -> int:
        """Nine in ten labels come within three medians; `auto` looks at four times that."""
        return round(1.05 * self.reference_ms) + 12 * self.labels_ms + MINUTE_MS

    @property
    def wait_ms(self) -> int:
        return self.reference_ms + 3 * self.labels_ms + MINUTE_MS


PREDICTIONS = ReferenceRule().predictions
TRAINED = 3_000  # rows
RATES = (
    Rate("1/min", 1 / 60, 24 * HOUR_MS, 6 * HOUR_MS, 3),
    Rate("10/s", 10.0, HOUR_MS, 2 * MINUTE_MS, 2),
    Rate("1000/s", 1_000.0, 3 * MINUTE_MS, MINUTE_MS // 6, 1),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A failure; `config`: what is not at its default (YAML). `is_trained`: a reference of training
    rows is deployed, and the fault begins with the first prediction. `takes_a_day`: what is usual
    is known after a day of hours, so the highest rates are left out."""

    name: str
    fault: str
    models: tuple[str, ...] = ("fraud",)
    config: str = ""
    is_trained: bool = False
    takes_a_day: bool = False

    def onset_ms(self, rate: Rate) -> int:
        return 0 if self.is_trained else rate.onset_ms

    def is_played(self, rate: Rate) -> bool:
        return not self.takes_a_day or rate.span_ms >= 24 * HOUR_MS


PRICING, BOTH = ("pricing",), ("fraud", "pricing")
BY_REGION = "models: {fraud: {segments: [region]}}"
SHARED = "shared_features: {customer_score: [fraud, pricing]}"
DEPRECATED = """
models:
  fraud: {versions: {"6": {deprecated_after: "2026-01-01", successor: "7", rollback_to: "7"}}}
"""
ROLLBACK = """
models:
  pricing:
    versions: {"8": {rollback_to: "7"}}
    rollback: {metric: absolute_error}
    requires: []
"""
ROWS = (
    Row("nulls of 30 %", "null:amount@{on}ms,30%"),
    Row("feature missing", "missing:amount@{on}ms"),
    Row("renamed", "rename:amount@{on}ms"),
    Row("retyped", "retype:amount@{on}ms"),
    Row("new category", "new_category:country@{on}ms"),
    Row("unit ×100", "unit:amount@{on}ms,x100"),
    Row("°C as °F", "unit:temperature_c@{on}ms,x1.8,offset=32", PRICING),
    Row("stale constant", "stale:amount@{on}ms"),
    Row("swapped columns", "swap:amount+distance_km@{on}ms"),
    Row("another feature set", "feature_set:amount@{on}ms"),
    Row("skew to training", "skew:amount@{on}ms", is_trained=True),
    Row("covariate drift, abrupt", "covariate:amount@{on}ms"),
    Row("covariate drift, gradual", "covariate:amount@{on}ms,2,ramp={ramp}ms"),
    Row("drift in one region", "covariate:amount@{on}ms,where=region=EU", config=BY_REGION),
    Row("shared feature drifts", "covariate:customer_score@{on}ms", BOTH, SHARED),
    Row("concept drift", "concept@{on}ms", PRICING),
    Row("predictions shift", "prediction@{on}ms"),
    Row("false positives", "false_positives@{on}ms"),
    Row("calibration lost", "calibration@{on}ms"),
    Row("latency ×3", "latency@{on}ms"),
    Row("labels stop", "labels_stop@{on}ms", PRICING),
    Row("labels later ×3", "label_delay@{on}ms,x3", PRICING),
    Row("a model is silent", "silence@{on}ms,model=fraud", BOTH, takes_a_day=True),
    Row("a region is silent", "silence:region=EU@{on}ms", config=BY_REGION, takes_a_day=True),
    Row("requests ×0.3", "throughput@{on}ms", takes_a_day=True),
    Row("shadow slower", "shadow:slow@{on}ms"),
    Row("shadow silent at times", "shadow:missing@{on}ms"),
    Row("shadow without a feature", "shadow:schema@{on}ms"),
    Row("a worse version", "version:worse@{on}ms", PRICING, ROLLBACK),
    Row("a deprecated version", "version:deprecated@{on}ms,20%", config=DEPRECATED),
)


@dataclass(frozen=True, slots=True)
class Cell:
    row: str
    rate: str
    seed: int
    caught: bool
    declared: list[str]  # why it could not be caught, of each of its series
    delay_s: float | None
    wrong: int  # alerts of its incident or beside it that say what would not help
    extra: int  # alerts of other incidents, and of before
    told: list[str]


def main() -> int:
    parser = argparse.ArgumentParser("scenarios", description=__doc__)
    parser.add_argument("--only", action="append", choices=[row.name for row in ROWS])
    parser.add_argument("--rate", action="append", choices=[rate.name for rate in RATES])
    parser.add_argument("--seeds", type=int, help="instead of each rate's own number of them")
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    rates = [rate for rate in RATES if given.rate is None or rate.name in given.rate]
    rows = [row for row in ROWS if given.only is None or row.name in given.only]
    cells: list[Cell] = []
    for row in rows:
        for rate in filter(row.is_played, rates):
            for seed in range(7, 7 + (given.seeds or rate.seeds)):
                cells.append(cell(row, rate, seed))
                print(cells[-1], file=sys.stderr, flush=True)
    print("\n".join(table(cells, rows, rates)))
    for one in cells:
        if one.declared:
            print(f"declared: {one.row}, {one.rate}, seed {one.seed}: {'; '.join(one.declared)}")
    if given.out is not None:
        given.out.write_text(json.dumps([asdict(one) for one in cells], indent=1))
    missed = [one for one in cells if not (one.caught or one.declared)]
    return 1 if missed else 0


def cell(row: Row, rate: Rate, seed: int) -> Cell:
    rules = settings(f"reference: {{span: {rate.span_ms}ms}}\n{row.config}").rules()
    pipeline = Pipeline(rules, 2, release_every=20_000)
    pipeline.asks_power = True
    if row.is_trained:
        pipeline.deploy(references_of(TRAINED, row.models, "", has_outcomes=False))
    onset_ms = row.onset_ms(rate)
    spec = Spec.model_validate(
        {
            "seed": seed,
            "length": f"{onset_ms + rate.wait_ms}ms",
            "models": row.models,
            "traffic": {"rate": f"{rate.per_s}/s" if rate.per_s >= 1 else "1/min"},
            "labels": {"median": f"{rate.labels_ms}ms"},
            "faults": [row.fault.format(on=onset_ms, ramp=rate.wait_ms // 2)],
        }
    )
    report = played(pipeline, spec)
    delay_ms = report.after_ms(report.alert)
    told = [*report.incident, *report.others]
    # what is told first is told before its cause is known; what counts is what stands at the end
    last = {a.fingerprint: a for a in (effect.alert for effect in pipeline.sorted_alerts())}
    stands = [last[alert.fingerprint] for alert in told]
    return Cell(
        row.name,
        rate.name,
        seed,
        caught=not report.is_missed,
        declared=declared(report, pipeline, spec, rules) if report.is_missed else [],
        delay_s=None if delay_ms is None else delay_ms / 1000,
        wrong=sum(is_wrong(alert.recommended_action, report) for alert in stands),
        extra=report.before + len([a for a in report.others if report.alert or not follows(a)]),
        told=[f"{a.alertname} {a.scope.feature or ''} {a.recommended_action}" for a in told],
    )


def is_wrong(action: str, report: Report) -> bool:
    """Retraining does not mend a pipeline, nor does a pipeline's mending a changed world."""
    wanted = {action for goal in report.goals for action in goal.actions}
    return action in {"retrain", "rollback", "fix_pipeline"} - wanted and not (
        action == "retrain" and "investigate" in wanted
    )


def follows(alert: Alert) -> bool:
    """What is told of a fault that is not told itself."""
    return alert.kind in {"prediction_drift", "performance", "calibration", "concept_drift"}


def declared(report: Report, pipeline: Pipeline, spec: Spec, rules: Rules) -> list[str]:
    """How little each series that the fault is told of has moved; empty: it is missed."""
    kinds = {kind for goal in report.goals for kind in goal.kinds}
    found = changes(pipeline, spec, rules, kinds) or []
    return [] if any(one.is_found for one in found) else [str(one) for one in found]


def table(cells: list[Cell], rows: list[Row], rates: list[Rate]) -> list[str]:
    """As the README has it."""
    lines = [
        "| failure | " + " | ".join(rate.name for rate in rates) + " |",
        "|---" * (len(rates) + 1) + "|",
    ]
    for row in rows:
        shown = [_shown([c for c in cells if (c.row, c.rate) == (row.name, r.name)]) for r in rates]
        lines.append(f"| {row.name} | " + " | ".join(shown) + " |")
    return lines


def _shown(cells: list[Cell]) -> str:
    """Caught of seeds, the median delay, wrong actions, extra alerts; a dash: not played."""
    if not cells:
        return "-"
    caught = [one.delay_s for one in cells if one.caught and one.delay_s is not None]
    if not caught:
        return "declared" if all(one.declared for one in cells) else "missed"
    small = sum(bool(one.declared) for one in cells)
    many = f"{len(caught)}/{len(cells)}" + (f" ({small} declared)" if small else "")
    wrong, extra = sum(one.wrong for one in cells), sum(one.extra for one in cells)
    return f"{many}, {_span(statistics.median(caught))}, {wrong}, {extra}"


def _span(seconds: float) -> str:
    for unit, name in ((3600, "h"), (60, "min")):
        if seconds >= 2 * unit:
            return f"{seconds / unit:.1f} {name}"
    return f"{seconds:.0f} s"


if __name__ == "__main__":
    sys.exit(main())
