"""The demo itself, in its short form, and what makes it fail."""

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from stream import alert_lines
from stream.demo import events, main, producer, summary
from stream.events import Alert

ROWS = 9_000
BEFORE_NULLS, NULLS = "2018-10-29T00:00:00.000Z", "2018-10-30T19:00:00.000Z"
BEFORE, AFTER = "2019-03-31T02:59:59.000Z", "2019-03-31T09:00:00.000Z"


def an_alert(**changes):
    fields = {
        "schema_version": 1, "id": "i", "fingerprint": "f", "status": "firing", "sequence": 1,
        "alertname": "FeatureDrift", "kind": "feature_drift", "severity": "warning",
        "starts_at": AFTER, "ends_at": None, "evaluated_at": AFTER,
        "model": {"id": "car_loan", "version": "1", "role": "champion"},
        "scope": {"feature": "car_value", "segment": None},
        "detector": {"name": "adwin", "params_hash": "h", "statistic": 2, "threshold": 1,
                     "budget_share": 1, "direction": "up"},
        "window": {"start": AFTER, "end": AFTER, "count": 1},
        "reference": {"id": "r", "count": 1},
        "effect": {"estimate": 18_700, "low": 1, "high": 2, "floor": 0, "change_at": AFTER},
        "evidence": {"reference": {"count": 9, "mean": 29_900.4},
                     "current": {"count": 9, "mean": 48_600}},
        "impact": {"metric": None, "value": None, "reference": None, "label_coverage": None},
        "incident_id": "i",
        "owners": {"accountable": "car-loan-ml", "responsible": [], "consulted": [],
                   "informed": []},
        "labels": {}, "summary": "s", "links": {}, "recommended_action": "retrain",
        "config_hash": "h",
    }  # fmt: skip
    return msgspec.convert(fields | changes, Alert)


def a_run(*alerts, **terms):
    predictions = dict.fromkeys((*summary.INTAKE, *summary.FATES["predictions"]), 0)
    outcomes = dict.fromkeys((*summary.INTAKE, *summary.FATES["outcomes"]), 0)
    predictions |= {"consumed": 10, "applied": 9, "late": 1, "matured_labelled": 8, "pending": 1}
    outcomes |= {"consumed": 8, "applied": 8, "joined": 8}
    ledger = {"predictions": predictions | terms, "outcomes": outcomes}
    sent, rows = {"predictions": 10, "outcomes": 8}, range(74_990, 75_000)
    return summary.Run(ledger, sent, list(alerts), seconds=2.0, rows=rows)


def leeway_demo(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "stream", "demo", *arguments],
        cwd=Path(__file__).parents[1],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip


@pytest.mark.embedded
def test_the_demo_alerts_the_drift_of_car_value_accounts_for_every_event_and_ends():
    sent = events.events(rows=events.around_the_drift(ROWS))
    process = leeway_demo("--rows", str(ROWS))
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0, out + err
    lines = out.splitlines()
    drift = [line for line in lines if "FeatureDrift | car_loan v1 car_value" in line]
    assert drift, out
    assert "since 2019-03-31" in drift[0]
    assert "->" in drift[0]
    assert "| owner car-loan-ml | action " in drift[0]
    facts = {line[:20].strip(): line[20:] for line in lines}
    total = sum(map(len, sent))
    assert facts["events in"] == (
        f"{total:,} = {len(sent[0]):,} predictions + {len(sent[1]):,} outcomes"
    )
    assert facts["dead-lettered"] == facts["late"] == "0"
    assert facts["ledger: predictions"].startswith(f"{len(sent[0]):,} consumed = ")
    assert "━" not in out + err  # no bar where there is no terminal


@pytest.mark.embedded
def test_a_demo_told_to_stop_stops_all_it_started_and_says_so():
    process = leeway_demo()
    children = []
    while len(children) < 2:  # the broker and the worker
        assert process.poll() is None, process.communicate()
        children = _children(process.pid)
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "interrupted" in err
    assert [pid for pid in children if _is_alive(pid)] == []


def _children(parent):
    of_linux = Path(f"/proc/{parent}/task/{parent}/children")
    if of_linux.exists():
        return [int(pid) for pid in of_linux.read_text().split()]
    listed = subprocess.run(
        ["ps", "-axo", "ppid=,pid="], capture_output=True, text=True, check=True
    )
    pairs = (map(int, line.split()) for line in listed.stdout.splitlines())
    return [pid for of, pid in pairs if of == parent]


def _is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_a_run_is_content_with_the_drift_alerted_and_a_ledger_that_balances():
    assert summary.faults(a_run(an_alert())) == []


def test_a_run_without_the_alert_of_car_value_fails():
    other = an_alert(scope={"feature": "loan_length", "segment": None})
    quality = an_alert(kind="data_quality")
    resolved = an_alert(status="resolved")
    assert summary.faults(a_run(other, quality, resolved)) == [
        "the drift of car_value was not alerted"
    ]


def test_an_alert_before_the_drift_fails_a_run_whatever_it_is_about():
    early = an_alert(kind="performance", scope={"feature": None, "segment": None},
                     evaluated_at=BEFORE)  # fmt: skip
    assert summary.faults(a_run(an_alert(), early)) == [
        f"an alert before the drift: performance of the model at {BEFORE}"
    ]
    assert len(summary.faults(a_run(an_alert(evaluated_at=BEFORE)))) == 2


def test_a_whole_run_must_tell_of_the_nulls_and_of_the_outcomes_that_come_later():
    nulls = an_alert(
        kind="data_quality", alertname="NullRate", starts_at=NULLS, evaluated_at=NULLS,
        scope={"feature": "debt_to_income_ratio", "segment": None},
    )  # fmt: skip
    later = an_alert(kind="label_delay", scope={"feature": None, "segment": None})
    whole = range(100_000)
    assert summary.faults(replace(a_run(an_alert(), nulls, later), rows=whole)) == []
    assert summary.faults(replace(a_run(an_alert()), rows=whole)) == [
        "the nulls of debt_to_income_ratio were not alerted",
        "the outcomes that come later were not alerted",
    ]
    early = an_alert(kind="data_quality", starts_at=BEFORE_NULLS, evaluated_at=NULLS,
                     scope={"feature": "debt_to_income_ratio", "segment": None})  # fmt: skip
    assert len(summary.faults(replace(a_run(an_alert(), early, later), rows=whole))) == 2


@pytest.mark.parametrize(
    ("terms", "fault"),
    [
        ({"consumed": 9, "late": 0}, "10 sent, 9 consumed"),
        ({"late": 0}, "consumed is not"),
        ({"pending": 0}, "applied is not"),
    ],
)
def test_a_ledger_that_does_not_balance_fails_a_run(terms, fault):
    found = summary.faults(a_run(an_alert(), **terms))
    assert len(found) == 1
    assert fault in found[0]


def test_the_summary_says_what_became_of_every_event():
    facts = {line[:20].strip(): line[20:] for line in summary.lines(a_run(an_alert()))}
    assert facts == {
        "events in": "18 = 10 predictions + 8 outcomes",
        "joined": "8",
        "label coverage": "100.0% of 8 matured predictions",
        "late": "1",
        "dead-lettered": "0",
        "ledger: predictions": "10 consumed = 9 applied + 1 late; "
        "9 applied = 8 matured_labelled + 1 pending",
        "ledger: outcomes": "8 consumed = 8 applied; 8 applied = 8 joined",
        "alerts": "1",
        "events/s": "9 (2.0 s)",
    }


def test_an_alert_is_one_line_of_what_where_since_when_how_much_whose_and_what_to_do():
    assert alert_lines.line(an_alert()) == (
        "WARNING FeatureDrift | car_loan v1 car_value | "
        "since 2019-03-31 09:00, seen 2019-03-31 09:00 | mean 29,900 -> 48,600 | "
        "owner car-loan-ml | action retrain"
    )
    resolved = alert_lines.line(an_alert(status="resolved", ends_at=AFTER))
    assert resolved == "RESOLVED FeatureDrift | car_loan v1 car_value | at 2019-03-31 09:00"
    without = an_alert(evidence={}, summary="car_loan v1: it is silent")
    assert "| it is silent |" in alert_lines.line(without)
    nulls = an_alert(alertname="NullRate", kind="data_quality", recommended_action="fix_pipeline")
    assert "mean" not in alert_lines.line(nulls)


def test_an_alert_of_the_outcomes_says_of_which_measure():
    impact = {"metric": "error", "value": 0.0859, "reference": 0.0557, "label_coverage": 0.7}
    scope = {"feature": None, "segment": None}
    found = alert_lines.line(an_alert(kind="performance", scope=scope, impact=impact))
    assert "| car_loan v1 error |" in found
    assert "| mean 0.0557 -> 0.0859 |" in found


def test_ranks_that_rise_while_the_mean_falls_are_told_in_words():
    impact = {"metric": "brier", "value": 0.02, "reference": 0.03, "label_coverage": 0.7}
    rose = an_alert(kind="performance", impact=impact, summary="m v1: brier rose by 1 σ on ranks")
    assert "| brier rose by 1 σ on ranks |" in alert_lines.line(rose)


def test_the_end_of_input_carries_the_greatest_event_time():
    predictions, outcomes = events.events(rows=range(100))
    times = [msgspec.json.decode(event.value) for event in (*predictions, *outcomes)]
    latest = max(event.get("predicted_at") or event["observed_at"] for event in times)
    assert producer.greatest_event_time(predictions, outcomes) == latest
    assert producer.greatest_event_time(predictions, []) == times[99]["predicted_at"]


@pytest.mark.parametrize("arguments", [["--rows", "80000"], ["--rows", "2"], ["--gzip"], ["--no"]])
def test_a_wrong_argument_is_a_usage_error(arguments, capsys):
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "leeway demo: error: " in capsys.readouterr().err
