"""`leeway explain`: an alert on one screen."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest

from stream import cli
from stream.events import Alert
from stream.explain import UnknownAlertError, find
from tests.stream.test_incidents import finding, told
from tests.streams import prediction

ALERTS = told(
    [
        finding(10_000, "NullRate", "x", since_ms=4_000),
        finding(10_100, "FeatureDrift", "x", since_ms=4_000),
        finding(10_200, "ErrorRateDrift", since_ms=4_000),
    ]
)


def said(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["explain", *map(str, arguments)])
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int | None)
    return ended.value.code or 0, printed.out, printed.err


@pytest.fixture
def alerts(tmp_path: Path) -> Path:
    path = tmp_path / "alerts.ndjson"
    path.write_bytes(b"\n".join(map(encoded, ALERTS)))
    return path


def encoded(alert: Alert) -> bytes:
    shown = msgspec.structs.replace(
        alert,
        effect=msgspec.structs.replace(alert.effect, change_at="1970-01-01T00:00:04.000Z"),
        window=msgspec.structs.replace(alert.window, end="1970-01-01T00:00:10.000Z"),
    )
    return msgspec.json.encode(shown)


def test_it_says_what_an_alert_is_folded_under_whose_it_is_and_what_to_do(
    alerts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folded = ALERTS[-1]
    code, out, _ = said(capsys, folded.id, "--alerts", alerts)
    assert code == 0
    assert "ERROR ErrorRateDrift" in out
    assert "follows     from NullRate of x, m v1" in out
    assert "of 3 alerts" in out
    assert "unassigned; do: fix_pipeline" in out
    assert "2 of 1 (adwin, up), 50 % of the budget" in out
    assert f"grep {folded.id} again.ndjson" in out
    assert "--bootstrap localhost:9092" in out


def test_it_draws_the_series_from_predictions_and_names_the_files_to_replay(
    alerts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    history = tmp_path / "predictions.ndjson"
    events = [
        prediction(f"p{at}", at, features={"x": None if at >= 4_000 else 1.0})
        for at in range(0, 10_000, 50)
    ]
    history.write_text("\n".join(map(json.dumps, events)), encoding="utf-8")
    files = ("--predictions", history, "--outcomes", "o.ndjson")
    code, out, _ = said(capsys, ALERTS[0].id[:13], "--alerts", alerts, *files[:2])
    assert code == 0
    (line,) = [line for line in out.splitlines() if line.startswith("  series ")]
    drawn = line.split("series      ")[1]
    assert set(drawn[32:35]) == {"▁"}  # 1970-01-01T00:00:04 is the 36th of 60
    assert set(drawn[36:60]) == {"█"}
    assert f"backtest --predictions {history} --outcomes OUTCOMES" in out


def test_an_id_that_is_not_there_or_not_enough_is_a_usage_error(
    alerts: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(capsys, "ffffffff-none", "--alerts", alerts)
    assert (code, "no alerts have an id" in err) == (2, True)
    with pytest.raises(UnknownAlertError, match="3 alerts"):
        find(ALERTS, "")


def test_a_file_of_something_else_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = tmp_path / "other.ndjson"
    other.write_text('{"a": 1}\n', encoding="utf-8")
    code, _, err = said(capsys, "x", "--alerts", other)
    assert (code, "missing required field" in err) == (2, True)


def test_what_probably_is_behind_it_is_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    more = {
        "cause": {"what": "other_unit", "unit": "×100"},
        "moved_with": {"features": [{"feature": "a", "size": 0.5, "before": 1.0, "after": 2.5}]},
        "inputs": {"stable": 3, "undecided": ["b"], "moved": [], "differences": {}},
        "shared": {"read_by": ["pricing"], "told_by": []},
    }
    alert = msgspec.structs.replace(ALERTS[0], evidence={**ALERTS[0].evidence, **more})
    path = tmp_path / "one.ndjson"
    path.write_bytes(encoded(alert))
    code, out, _ = said(capsys, alert.id, "--alerts", path)
    assert code == 0
    assert "cause       other_unit: unit ×100" in out
    assert "moved with  a: 1 -> 2.5" in out
    assert "3 are as before; moved or undecided: b" in out
    assert "shared      with pricing" in out
