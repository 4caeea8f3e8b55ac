"""`leeway drill`: which fault, in which stream, and when."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import typer

from stream.backtest_files import FileHistory, chunks
from stream.cli_output import FAILURE, USAGE, Output, fail, load_settings, print_json, tell
from stream.drill import Report, recorded, simulated
from stream.drill_faults import Injection, last_ms
from stream.history import History, HistoryError
from stream.setting_types import ms, parse_duration
from stream.settings import Settings
from stream.simulate.catalogue import MODELS
from stream.simulate.fault_text import FaultText, parse_fault
from stream.simulate.spec import Spec, SpecError, read_spec
from stream.times import moment_ms

WARM_UP_MS = 30 * 3_600_000  # of the simulator's stream: a reference, and some hours behind it


def drill(
    config: Path | None,
    overrides: Mapping[str, Any],
    fault: str,
    *,
    at: str | None,
    lasting: str,
    rate: str,
    seed: int,
    predictions: list[Path] | None,
    outcomes: list[Path] | None,
    from_: str | None,
    to: str | None,
    output: Output,
) -> None:
    """Exit 1 if the fault is missed."""
    settings = load_settings(config, overrides)
    try:
        lasting_ms = ms(parse_duration(lasting))
        text = _fault(fault)
        if "bootstrap" in overrides.get("kafka", {}):
            report = _of_topics(settings, text, at, lasting_ms, from_, to)
        elif predictions is not None:
            report = _of_files(settings, text, at, lasting_ms, predictions, outcomes or [])
        else:
            report = simulated(settings, _spec(fault, lasting_ms, rate=rate, seed=seed))
    except (OSError, SpecError, ValueError) as error:
        raise fail(str(error), USAGE) from None
    except HistoryError as error:
        raise fail(str(error)) from None
    if output is Output.json:
        print_json(report.facts())
    else:
        for one in report.lines():
            tell(one)
    if report.is_missed:
        raise typer.Exit(FAILURE)


def _fault(given: str, onset: str = "0s") -> FaultText:
    """`KIND[:TARGET][,INTENSITY][,OPTION=VALUE]...`: the onset is the drill's."""
    if "@" in given:
        raise ValueError(f"{given!r}: no onset: --at says when it begins")
    what, comma, rest = given.partition(",")
    return parse_fault(f"{what}@{onset}{comma}{rest}")


def _spec(fault: str, lasting_ms: int, *, rate: str, seed: int) -> Spec:
    """Of the first model that can have the fault."""
    onset = f"{WARM_UP_MS}ms"
    what, comma, rest = fault.partition(",")
    named = _fault(fault).options.get("model")
    refused: list[str] = []
    for model in [named] if named is not None else MODELS:
        given = {
            "seed": seed,
            "models": (model,),
            "length": f"{WARM_UP_MS + lasting_ms}ms",
            "traffic": {"rate": rate},
            "labels": {"median": "30m"},
            "faults": [f"{what}@{onset}{comma}{rest}"],
        }
        try:
            return read_spec(None, given)
        except SpecError as error:
            refused.append(str(error))
    raise ValueError("\n".join(dict.fromkeys(refused)))


def _of_files(
    settings: Settings,
    text: FaultText,
    at: str | None,
    lasting_ms: int,
    predictions: list[Path],
    outcomes: list[Path],
) -> Report:
    """From `at` on, else in the last of the time that there is."""
    onset_ms = None if at is None else moment_ms(at)
    if onset_ms is None:
        values = (r.values for part in chunks(predictions, 1, None) for r in part)
        end_ms = last_ms(list(chain.from_iterable(values)))
        if end_ms is None:
            raise ValueError("no prediction in these files")
        onset_ms = end_ms - lasting_ms
    injection = Injection(text, onset_ms)
    return recorded(
        settings,
        FileHistory(predictions, outcomes),
        injection,
        _end(onset_ms, lasting_ms, settings),
    )


def _of_topics(
    settings: Settings,
    text: FaultText,
    at: str | None,
    lasting_ms: int,
    from_: str | None,
    to: str | None,
) -> Report:
    if at is None:
        raise ValueError("--at: required with --bootstrap: when the fault begins")
    from stream.backtest_topics import TopicHistory

    onset_ms = moment_ms(at)
    history: History = TopicHistory(
        settings,
        from_ms=None if from_ is None else moment_ms(from_),
        to_ms=None if to is None else moment_ms(to),
        checkpoint_ms=None,
        journal=None,
    )
    return recorded(
        settings, history, Injection(text, onset_ms), _end(onset_ms, lasting_ms, settings)
    )


def _end(onset_ms: int, lasting_ms: int, settings: Settings) -> int:
    """What is told of the last pane is told behind its grace."""
    return onset_ms + lasting_ms + ms(settings.pane) + ms(settings.grace)
