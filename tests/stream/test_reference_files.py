"""`leeway reference build --of` over rows in any order, and what `deploy` and a backtest take."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random
from typing import Any

import msgspec
import pytest
import typer

from stream import cli_config
from stream.backtest import Wanted
from stream.cli_backtest import Given, backtest
from stream.control import decode
from stream.deployment import opened
from stream.partitioning import partition_of
from stream.reference_files import build, read_references
from stream.renewals import Renewal
from stream.settings import Settings
from stream.wire import Claim, JournalEntry, Renewed
from tests.stream.test_deployment import EVERY_MS, START_MS, Event, events, outcomes_of

OWNED = {
    "owners": {"accountable": "ann", "responsible": ["ann"]},
    "runbook_url": "https://runbooks.example/m",
    "maturity": "5s",
}


def settings(**changed: Any) -> Settings:
    return Settings.model_validate({"models": {"m": OWNED | changed}})


BY_HOUR = settings(season="day", reference={"span": "2d"})


def written(path: Path, rows: list[Any]) -> Path:
    path.write_bytes(
        b"\n".join(row if isinstance(row, bytes) else json.dumps(row).encode() for row in rows)
    )
    return path


def built(
    tmp_path: Path, rows: list[Any], outcomes: list[Any] | None, given: Settings | None = None
) -> tuple[int, list[dict[str, Any]], Path]:
    out = tmp_path / "references.ndjson"
    code = build(
        given or settings(),
        [written(tmp_path / "p.ndjson", rows)],
        [] if outcomes is None else [written(tmp_path / "o.ndjson", outcomes)],
        source="training",
        out=out,
    )
    lines = [json.loads(line) for line in out.read_bytes().splitlines()] if code == 0 else []
    return code, lines, out


ROWS = events(600, seed=3)
OUTCOMES = outcomes_of(ROWS)


def test_all_rows_are_the_reference_in_whatever_order_they_are(tmp_path: Path) -> None:
    _, lines, out = built(tmp_path, ROWS, OUTCOMES)
    assert [(line["kind"], line["count"]) for line in lines] == [
        ("cohort", 600),
        ("prediction", 600),
    ]
    assert {line["source"] for line in lines} == {"training"}
    (renewal,) = read_references(out)
    shuffled = Random(1).sample(ROWS, len(ROWS))
    _, again, _ = built(tmp_path, shuffled, Random(2).sample(OUTCOMES, len(OUTCOMES)))
    assert [line["id"] for line in again] == [line["id"] for line in lines]
    assert decode(renewal.encode()) == renewal
    assert {opened(one).id for one in renewal.references} == {line["id"] for line in lines}


def test_rows_of_one_time_and_of_months_apart_are_a_reference_too(tmp_path: Path) -> None:
    at_once = [row | {"predicted_at": START_MS} for row in ROWS]
    code, lines, _ = built(tmp_path, at_once, [o | {"observed_at": START_MS} for o in OUTCOMES])
    assert (code, [line["count"] for line in lines]) == (0, [600, 600])
    apart = [r | {"predicted_at": START_MS + i * 10_800_000} for i, r in enumerate(ROWS)]
    code, lines, _ = built(tmp_path, apart, None)
    assert (code, [line["count"] for line in lines]) == (0, [600])


def test_what_is_no_event_or_there_twice_is_left_out_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows: list[Any] = [b"{", *ROWS, ROWS[5], {"model_id": "m"}]
    code, lines, _ = built(tmp_path, rows, None)
    assert (code, lines[0]["count"]) == (0, 600)
    assert "3 lines, those with an id that was there before too" in capsys.readouterr().err


LATE = [one | {"observed_at": one["observed_at"] + 60_000} for one in OUTCOMES]


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        ((settings(maturity="auto"), ROWS, OUTCOMES), "maturity of m is auto"),
        ((settings(), ROWS, LATE), "no outcome was there at the age"),
        ((settings(), ROWS[:150], None), "150 predictions; a reference takes 200"),
        ((BY_HOUR, ROWS, None), "these rows say nothing of its hours"),
        ((settings(), [b"{}"], None), "no prediction of a champion could be read"),
    ],
)
def test_what_would_not_do_is_refused_with_the_reason(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    case: tuple[Settings, list[Any], list[Any] | None],
    reason: str,
) -> None:
    given, rows, outcomes = case
    code, _, _ = built(tmp_path, rows, outcomes, given)
    assert code != 0
    assert reason in capsys.readouterr().err


def test_rows_of_several_days_know_the_hours(tmp_path: Path) -> None:
    rows = [
        row | {"predicted_at": START_MS + i * 60_000} for i, row in enumerate(events(7_200, seed=3))
    ]
    code, (line,), out = built(tmp_path, rows, None, BY_HOUR)
    assert code == 0
    (renewal,) = read_references(out)
    assert "feature:x" in opened(renewal.references[0]).seasons
    assert line["deploy"]["built"]["season"] == "day"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What would have gone to the control topic."""
    values: list[bytes] = []
    monkeypatch.setattr(cli_config, "publish_now", lambda _, value: values.append(value))
    return values


def test_deploy_announces_what_was_built(tmp_path: Path, published: list[bytes]) -> None:
    _, _, out = built(tmp_path, ROWS, OUTCOMES)
    cli_config.deploy(settings(), out, "m", "1", None)
    cli_config.deploy(settings(), out, "m", "1", "2026-01-01T00:00:00Z")
    first, second = map(decode, published)
    assert isinstance(first, Renewal)
    assert isinstance(second, Renewal)
    assert (first.effective_at_ms, second.effective_at_ms) == (0, 1_767_225_600_000)
    assert first.references == second.references


@pytest.mark.parametrize(
    ("given", "told", "code"),
    [
        (settings(), ("2", None), 2),
        (settings(), ("1", "soon"), 2),
        (settings(maturity="6s"), ("1", None), 1),
        (settings(maturity="auto"), ("1", None), 1),
    ],
)
def test_what_does_not_fit_is_not_announced(
    tmp_path: Path,
    published: list[bytes],
    given: Settings,
    told: tuple[str, str | None],
    code: int,
) -> None:
    _, _, out = built(tmp_path, ROWS, OUTCOMES)
    with pytest.raises(typer.Exit) as found:
        cli_config.deploy(given, out, "m", *told)
    assert (found.value.exit_code, published) == (code, [])


def test_a_reference_that_was_only_built_to_be_looked_at_is_refused(tmp_path: Path) -> None:
    _, lines, out = built(tmp_path, ROWS, None)
    written(out, [{name: of for name, of in lines[0].items() if name != "deploy"}])
    with pytest.raises(ValueError, match="build it with --of"):
        read_references(out)


def _backtest(tmp_path: Path, rows: list[Event], **given: Any) -> list[dict[str, Any]]:
    config = tmp_path / "leeway.yaml"
    config.write_text(json.dumps({"models": {"m": OWNED}}))
    files = {
        "predictions": [written(tmp_path / "live.ndjson", rows)],
        "outcomes": [written(tmp_path / "live_outcomes.ndjson", outcomes_of(rows))],
    }
    named: dict[str, Any] = dict.fromkeys(Given.__dataclass_fields__) | files | given
    out = tmp_path / "alerts.ndjson"
    assert backtest(config, {}, Given(**named), Wanted(out)) == 0
    return [json.loads(line) for line in out.read_bytes().splitlines()]


def test_a_backtest_deploys_it_and_so_does_the_journal_of_a_live_run(tmp_path: Path) -> None:
    skewed = events(1_500, x=1.0)
    _, _, out = built(tmp_path, ROWS, OUTCOMES)
    assert not _backtest(tmp_path, skewed)
    alerts = _backtest(tmp_path, skewed, references=[out])
    assert "skew, not drift" in alerts[0]["summary"]
    (renewal,) = read_references(out)
    journal = tmp_path / "journal.ndjson"
    for at_ms in (1, START_MS + 700 * EVERY_MS):
        entry = Renewed(2, 0, 0, 3, at_ms, "m", "1", list(renewal.references))
        _journal(journal, entry)
        told = _backtest(tmp_path, skewed, journal=journal)
        assert (told == alerts) == (at_ms == 1)
        assert told[0]["reference"]["id"] == alerts[0]["reference"]["id"]


def _journal(path: Path, entry: Renewed) -> None:
    """As `leeway journal` prints it."""
    partition = partition_of(b"m", 4)
    placed: list[tuple[int, JournalEntry]] = [
        (0, Claim(2, partition, "w")),
        (1, msgspec.structs.replace(entry, partition=partition)),
    ]
    lines = [msgspec.to_builtins(one) | {"offset": offset} for offset, one in placed]
    path.write_bytes(b"\n".join(map(msgspec.json.encode, lines)))
