"""`leeway backtest`: the worker's own stages over files, without a broker."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from stream.backtest_files import chunks
from stream.cli_output import FAILURE, USAGE, say, tell
from stream.events import Records
from stream.pipeline import Pipeline, imbalance
from stream.records import encode
from stream.reference import Reference
from stream.replay import ReplayedJournal
from stream.settings import Settings
from stream.source_stage import Side

_RELEASE_EVERY = 20_000  # records
_LISTED = 1_000  # dead letters listed in the summary; all are counted


def run(
    settings: Settings,
    *,
    predictions: list[Path],
    outcomes: list[Path],
    alerts: Path,
    summary: Path | None,
    journal: Path | None,
    timestamp_column: str | None,
) -> int:
    """Alerts to a file, the summary to a file and in short to stdout. Returns the exit code."""
    try:
        decisions = ReplayedJournal.read(journal)
        pipeline = Pipeline(
            settings.rules(),
            settings.partitions,
            include_payload=settings.dead_letters.payload,
            release_every=_RELEASE_EVERY,
        )
        started = time.perf_counter()
        feed(pipeline, predictions, outcomes, timestamp_column, decisions)
        elapsed_s = time.perf_counter() - started
        with alerts.open("wb") as out:
            for alert in pipeline.sorted_alerts():
                _write_line(out, alert.value)
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE
    facts = _facts(pipeline, elapsed_s, timestamp_column)
    if summary is not None:
        summary.write_bytes(msgspec.json.format(encode(facts)) + b"\n")
    _print(facts, pipeline, alerts)
    if facts["events"] and facts["dead_lettered"] == facts["events"]:
        say("every record was dead-lettered: these are not the events that Leeway reads")
        return FAILURE
    wrong = imbalance(facts["ledger"]["total"])
    for fault in wrong:
        say(f"the ledger does not balance: {fault}")
    return FAILURE if wrong else 0


def build_references(
    settings: Settings, *, predictions: list[Path], outcomes: list[Path], references: Path
) -> int:
    """The references that a worker would have sealed, a line of JSON each."""
    pipeline = Pipeline(settings.rules(), settings.partitions, release_every=_RELEASE_EVERY)
    try:
        feed(pipeline, predictions, outcomes, None, ReplayedJournal.read(None))
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE
    if not pipeline.references:
        say("no model has reached the predictions and the span that a reference needs")
        return FAILURE
    with references.open("wb") as out:
        for sealed in pipeline.references:
            _write_line(out, encode(Reference.decode(sealed.value).describe()))
            tell(sealed.key.decode())
    return 0


def feed(
    pipeline: Pipeline,
    predictions: list[Path],
    outcomes: list[Path],
    timestamp_column: str | None,
    decisions: ReplayedJournal,
) -> None:
    """Both sides to their end, the one that is behind in event time first, so that little has to
    be held; what comes out does not depend on it."""
    partitions = len(pipeline.sources)
    sides: dict[Side, Iterator[list[Records]]] = {
        "predictions": chunks(predictions, partitions, timestamp_column),
        "outcomes": chunks(outcomes, partitions, timestamp_column),
    }
    with _progress([*predictions, *outcomes]) as advance:
        while sides:
            side = min(sides, key=lambda s: _reached_ms(pipeline, s))
            chunk = next(sides[side], None)
            if chunk is None:
                del sides[side]
                continue
            for records in chunk:
                for part in decisions.before(pipeline, side, records):
                    (pipeline.predictions if side == "predictions" else pipeline.outcomes)(part)
                advance(sum(len(value or b"") + 1 for value in records.values))
    pipeline.end_of_input(None)


def _reached_ms(pipeline: Pipeline, side: Side) -> int:
    times = [pipeline.watermark_ms(p, side) for p in range(len(pipeline.sources))]
    return max((t for t in times if t is not None), default=-(2**63))


def _facts(pipeline: Pipeline, elapsed_s: float, timestamp_column: str | None) -> dict[str, Any]:
    facts = pipeline.summary()
    total = facts["ledger"]["total"]
    events = sum(side["consumed"] for side in total.values())
    letters = [
        {"file": d.letter.topic, "line": d.letter.offset, "reason": d.letter.reason}
        | {"detail": d.letter.detail}
        for d in pipeline.dead_letters[:_LISTED]
    ]
    return facts | {
        "events": events,
        "events_per_s": round(events / elapsed_s) if elapsed_s else 0,
        "elapsed_s": round(elapsed_s, 3),
        "dead_letters": letters,
        "future_check": timestamp_column or "off",
        "references": [sealed.key.decode() for sealed in pipeline.references],
    }


def _print(facts: dict[str, Any], pipeline: Pipeline, alerts: Path) -> None:
    from stream.alert_lines import line

    for alert in pipeline.sorted_alerts():
        tell(line(alert.alert))
    coverage = facts["label_coverage"]
    tell(
        f"{facts['events']} events, {facts['joined']} outcomes joined, label coverage "
        f"{'none judged' if coverage is None else f'{coverage:.1%}'}, {facts['late']} late, "
        f"{facts['dead_lettered']} dead-lettered, {facts['alerts']} alerts in {alerts}, "
        f"{facts['events_per_s']} events/s"
    )
    for letter in facts["dead_letters"][:5]:
        say(f"{letter['file']}:{letter['line']}: {letter['reason']}: {letter['detail']}")
    if facts["dead_lettered"] > 5:
        say(f"{facts['dead_lettered'] - 5} more dead letters; the summary lists them")
    if facts["future_check"] == "off":
        say("no timestamp column: no event was checked for being of the future")


def _write_line(out: Any, value: bytes) -> None:
    out.write(value + b"\n")


@contextmanager
def _progress(paths: list[Path]) -> Iterator[Any]:
    """A bar over bytes read, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _bytes: None
        return
    from rich.console import Console
    from rich.progress import Progress

    plain = all(path.suffix not in {".gz", ".parquet"} for path in paths)
    total = sum(path.stat().st_size for path in paths) if plain else None
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("backtest", total=total)
        yield lambda count: bar.advance(task, count)
