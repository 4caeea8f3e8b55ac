"""`leeway backtest`: the worker's own stages over a history, in files or on topics."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from stream.backtest_files import FileHistory
from stream.cli_output import FAILURE, USAGE, say, tell
from stream.history import History, HistoryError, Meter
from stream.pipeline import RELEASE_EVERY, Pipeline, imbalance
from stream.records import encode
from stream.reference import Reference
from stream.settings import Settings


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to write where."""

    alerts: Path
    summary: Path | None = None
    actions: Path | None = None


_LISTED = 1_000  # dead letters listed in the summary; all are counted


def run(settings: Settings, history: History, wanted: Wanted) -> int:
    """The files that are wanted, and the summary in short to stdout. Returns the exit code."""
    alerts, summary = wanted.alerts, wanted.summary
    pipeline = _pipeline(settings)
    pipeline.asks_power = summary is not None
    try:
        started = time.perf_counter()
        with _progress() as meter:
            history.feed(pipeline, meter)
        elapsed_s = time.perf_counter() - started
        with alerts.open("wb") as out:
            for alert in pipeline.sorted_alerts():
                _write_line(out, alert.value)
        if wanted.actions is not None:
            with wanted.actions.open("wb") as out:
                for action in pipeline.sorted_actions():
                    _write_line(out, action.value)
    except (OSError, ValueError) as error:
        say(str(error))
        return USAGE
    except HistoryError as error:
        say(str(error))
        return FAILURE
    facts = _facts(pipeline, history, elapsed_s)
    if summary is not None:
        more = {"series": pipeline.powers()}
        summary.write_bytes(msgspec.json.format(encode(facts | more)) + b"\n")
    _print(facts, pipeline, alerts, history.remarks(facts))
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
    pipeline = _pipeline(settings)
    try:
        with _progress() as meter:
            FileHistory(predictions, outcomes).feed(pipeline, meter)
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


def _pipeline(settings: Settings) -> Pipeline:
    return Pipeline(
        settings.rules(),
        settings.partitions,
        include_payload=settings.dead_letters.payload,
        release_every=RELEASE_EVERY,
    )


def _facts(pipeline: Pipeline, history: History, elapsed_s: float) -> dict[str, Any]:
    facts = pipeline.summary()
    of_history = history.facts(pipeline)
    consumed = sum(side["consumed"] for side in facts["ledger"]["total"].values())
    events = of_history.get("events", consumed)
    letters = [
        history.place(d.letter) | {"reason": d.letter.reason, "detail": d.letter.detail}
        for d in pipeline.dead_letters[:_LISTED]
    ]
    more = {
        "events": events,
        "events_per_s": round(events / elapsed_s) if elapsed_s else 0,
        "elapsed_s": round(elapsed_s, 3),
        "dead_letters": letters,
        "references": [sealed.key.decode() for sealed in pipeline.references],
    }
    return facts | more | of_history


def _print(facts: dict[str, Any], pipeline: Pipeline, alerts: Path, remarks: list[str]) -> None:
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
        *place, reason, detail = letter.values()
        say(f"{':'.join(map(str, place))}: {reason}: {detail}")
    if facts["dead_lettered"] > 5:
        say(f"{facts['dead_lettered'] - 5} more dead letters; the summary lists them")
    for remark in remarks:
        say(remark)


def _write_line(out: Any, value: bytes) -> None:
    out.write(value + b"\n")


@contextmanager
def _progress() -> Iterator[Meter]:
    """A bar over what is read, on a terminal only."""
    if not sys.stderr.isatty():
        yield lambda _more, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("backtest", total=None)
        yield lambda more, total: bar.update(task, advance=more, total=total)
