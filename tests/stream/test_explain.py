"""`leeway explain`: an alert on one screen."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream import cli, explain_series
from stream.events import Alert, AlertScope
from stream.explain import UnknownAlertError, find
from stream.explain_series import WIDTH, drawn
from stream.rules import ModelRule, Rules
from tests.stream.test_incidents import finding, told
from tests.streams import outcome, prediction, value_of

RULES = Rules()

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


def test_where_a_reference_was_deployed_the_replay_is_to_be_given_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever the alert itself was told against; the journal of topics has it."""
    first, *rest = ALERTS
    evidence = {**rest[0].evidence, "reference": {"count": 3_000, "source": "training"}}
    told = [first, msgspec.structs.replace(rest[0], evidence=evidence)]
    path = tmp_path / "deployed.ndjson"
    path.write_bytes(b"\n".join(map(encoded, told)))
    history = tmp_path / "predictions.ndjson"
    history.write_text(json.dumps(prediction("p", 4_000)), encoding="utf-8")
    for alert in told:
        _, out, _ = said(capsys, alert.id, "--alerts", path, "--predictions", history)
        assert "--outcomes OUTCOMES --reference REFERENCE --alerts again.ndjson" in out
    _, out, _ = said(capsys, first.id, "--alerts", path)
    assert "--reference" not in out


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
        "again": {"each": "day", "before": ["2026-01-04T02:00:00.000Z"]},
        "versions": {"also": [{"version": "8", "role": "champion"}]},
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
    assert "before      each day: 2026-01-04T02:00:00.000Z" in out
    assert "versions    also v8 champion" in out


# -- the series


def series_of(
    alert: Alert,
    events: list[dict[str, Any]],
    outcomes: list[dict[str, Any]] = [],  # noqa: B006
    rules: Rules = RULES,
) -> list[str]:
    """The bars."""
    shown = msgspec.json.decode(encoded(alert), type=Alert)
    lines = list(drawn(shown, map(value_of, events), map(value_of, outcomes), rules))
    return list(lines[0].removeprefix("  series      ")[:WIDTH])


def of_measure(alertname: str, metric: str, **more: Any) -> Alert:
    alert = ALERTS[2]
    impact = msgspec.structs.replace(alert.impact, metric=metric)
    return msgspec.structs.replace(alert, alertname=alertname, impact=impact, **more)


TIMES = range(0, 10_000, 50)


def saying(name: str, at_ms: int, score: float) -> dict[str, Any]:
    return prediction(f"{name}{at_ms}", at_ms, prediction={"label": "a", "score": score})


def truth(name: str, at_ms: int, label: str, known_ms: int | None = None) -> dict[str, Any]:
    known_ms = at_ms + 1 if known_ms is None else known_ms
    return outcome(f"{name}{at_ms}", known_ms, actual={"label": label})


SAID = [saying("p", at, 0.75) for at in TIMES]
TURNING = [truth("p", at, "a" if at < 4_000 else "b") for at in TIMES]


@pytest.mark.parametrize(
    ("metric", "before", "after"),
    [("error", "▁", "█"), ("brier", "▁", "█")],
)
def test_what_outcomes_say_is_drawn_of_the_time_of_the_predictions(
    metric: str, before: str, after: str
) -> None:
    bars = series_of(of_measure("ErrorRateDrift", metric), SAID, TURNING)
    assert (set(bars[32:35]), set(bars[36:60])) == ({before}, {after})


def test_what_was_known_later_than_the_alert_or_was_withdrawn_is_no_outcome() -> None:
    known = [truth("p", at, "a", 20_000 if at >= 4_000 else None) for at in TIMES]
    gone = [truth("p", at, "a") | {"revision": 2, "retracted": True} for at in TIMES if at < 3_000]
    alert = of_measure("LabelDelay", "label_coverage")
    bars = series_of(alert, SAID, [*known, *gone])
    assert (set(bars[32:35]), set(bars[36:60])) == ({"█"}, {"▁"})
    assert set(bars[21:31]) == {"▁"}


def test_of_what_no_prediction_holds_nothing_is_drawn() -> None:
    version = msgspec.structs.replace(ALERTS[2], alertname="StaleModel", kind="version")
    assert "".join(series_of(version, SAID)) == "not in these events"
    predictions = msgspec.structs.replace(version, kind="prediction_drift")
    assert set(series_of(predictions, SAID)[20:]) == {"▁"}


def test_what_scores_let_expect_is_drawn_as_errors_and_what_a_shadow_lacks_as_a_share() -> None:
    impact = msgspec.structs.replace(ALERTS[2].impact, metric="estimated_error")
    expected = msgspec.structs.replace(ALERTS[1], kind="prediction_drift", impact=impact)
    scope = msgspec.structs.replace(ALERTS[1].scope, feature=None)
    expected = msgspec.structs.replace(expected, alertname="EstimatedErrorDrift", scope=scope)
    bars = series_of(expected, [saying("p", at, 0.9 if at < 4_000 else 0.6) for at in TIMES])
    assert (set(bars[32:35]), set(bars[36:60])) == ({"▁"}, {"█"})
    lacking = msgspec.structs.replace(ALERTS[1], alertname="ShadowLacksFeature")
    events = [prediction(f"p{at}", at, features={"x": 5} if at < 4_000 else {}) for at in TIMES]
    bars = series_of(lacking, events)
    assert (set(bars[32:35]), set(bars[36:60])) == ({"▁"}, {"█"})


def test_a_class_and_a_cost_are_those_of_the_configuration() -> None:
    rules = replace(
        RULES, models={"m": ModelRule(classes=("b",), costs=(("b", "a", 5.0), ("a", "a", 1.0)))}
    )
    bars = series_of(of_measure("CostDrift", "cost"), SAID, TURNING, rules)
    assert (set(bars[32:35]), set(bars[36:60])) == ({"▁"}, {"█"})
    bars = series_of(of_measure("RecallDrift", "recall:b"), SAID, TURNING, rules)
    assert (set(bars[32:35]), set(bars[36:60])) == ({" "}, {"▁"})


def test_calibration_is_that_of_the_scores_that_it_is_of() -> None:
    other = [saying("q", at, 0.25) for at in TIMES]
    truths = [truth("q", at, "b" if at < 4_000 else "a") for at in TIMES]
    evidence = {"current": {"score_from": 0.7, "score_to": 0.8}}
    alert = of_measure("CalibrationDrift", "calibration", evidence=evidence)
    bars = series_of(alert, [*SAID, *other], [*TURNING, *truths])
    assert (set(bars[32:35]), set(bars[36:60])) == ({"█"}, {"▁"})


def test_of_a_category_its_share_is_drawn_and_of_a_segment_its_own_predictions() -> None:
    events = [
        prediction(
            f"{region}{at}",
            at,
            features={"c": "new" if at >= 4_000 and region == "EU" else "old"},
            segment={"region": region},
        )
        for at in TIMES
        for region in ("EU", "US")
    ]
    shares = {"reference": {"shares": {"old": 1.0}}, "current": {"shares": {"new": 1.0}}}
    scope = msgspec.structs.replace(ALERTS[1].scope, feature="c", segment="region=EU")
    alert = msgspec.structs.replace(ALERTS[1], evidence=shares, scope=scope)
    bars = series_of(alert, events)
    assert (set(bars[32:35]), set(bars[36:60])) == ({"▁"}, {"█"})


def test_of_traffic_the_predictions_of_an_hour_are_drawn_whatever_their_version() -> None:
    calm = [prediction(f"p{at}", at, model_version=str(at % 3)) for at in range(0, 4_000, 10)]
    few = [prediction(f"p{at}", at) for at in range(4_000, 7_000, 60)]
    alert = msgspec.structs.replace(ALERTS[1], kind="throughput", scope=AlertScope(None, None))
    bars = series_of(alert, calm + few)
    assert set(bars[25:35]) == {"█"}
    assert set(bars[36:47]) < {"▂", "▃"}
    assert set(bars[50:]) == {"▁"}


def test_of_very_many_predictions_those_with_the_smallest_hashes_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    events = [prediction(f"p{at}", at, features={"x": float(at)}) for at in range(0, 10_000, 10)]
    monkeypatch.setattr(explain_series, "MOST", 50)
    alert = ALERTS[1]
    several = {"".join(series_of(alert, some)) for some in (events, events[::-1])}
    assert len(several) == 1
    assert 20 < WIDTH - several.pop().count(" ") <= 50
