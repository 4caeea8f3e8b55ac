"""A drill: a fault is put in, and what is told of it is timed; exit 1 if it is missed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from stream import cli
from stream.drill_faults import Injection
from stream.events import Records
from stream.simulate.fault_text import parse_fault
from stream.simulate.simulation import Simulation
from stream.simulate.spec import read_spec

START_MS = 1_767_225_600_000  # 2026-01-01


def drilled(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        cli.main(["drill", *map(str, arguments)])
    printed = capsys.readouterr()
    assert isinstance(ended.value.code, int | None)
    return ended.value.code or 0, printed.out, printed.err


@pytest.fixture(scope="module")
def history(tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Thirty hours without a fault."""
    folder = tmp_path_factory.mktemp("history")
    spec = read_spec(
        None,
        {"length": "30h", "traffic": {"rate": "8/min"}, "labels": {"median": "30m"}},
    )
    made = list(Simulation(spec).events())
    for name, wanted in (("predictions", True), ("outcomes", False)):
        lines = [event.value for is_prediction, event in made if is_prediction == wanted]
        (folder / f"{name}.ndjson").write_bytes(b"\n".join(lines))
    return [
        *("--predictions", folder / "predictions.ndjson"),
        *("--outcomes", folder / "outcomes.ndjson"),
    ]


def test_a_fault_in_a_simulated_stream_is_timed(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = drilled(capsys, "null:amount,30%", "-o", "json")
    found = json.loads(out)
    assert code == 0
    assert not found["missed"]
    assert 0 < found["to_alert_s"] <= 600
    assert found["to_incident_s"] <= found["to_alert_s"] <= found["to_action_s"]
    assert found["alert"]["alertname"] == "NullRate"
    assert found["action"] == found["request"] == "fix_pipeline"
    assert (found["others"], found["before"]) == ([], 0)


def test_what_is_missed_is_exit_1_and_said(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = drilled(capsys, "null:amount,30%", "--for", "20s")
    assert code == 1
    assert "MISSED" in out


@pytest.mark.parametrize(
    ("fault", "cause"), [("unit:amount,x100", "×100"), ("rename:amount,to=eur", "eur")]
)
def test_a_fault_is_put_into_the_last_hour_of_a_history(
    fault: str, cause: str, history: list[str | Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = drilled(capsys, fault, *history)
    facts = {line[:12].strip(): line[12:] for line in out.splitlines()}
    assert code == 0, out
    assert cause in facts["cause"]
    assert "fix_pipeline" in facts["action"]
    assert facts["others"] == "0 since the onset, 0 before"


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["null:amount@3h"], "no onset"),
        (["null:nothing"], "no feature"),
        (["no_such_fault"], "no fault"),
        (["null:amount", "--bootstrap", "localhost:1"], "--at"),
        (["null:amount", "--for", "soon"], "duration"),
    ],
)
def test_what_cannot_be_drilled_is_refused(
    arguments: list[str], why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = drilled(capsys, *arguments)
    assert code == 2
    assert why in err


def test_the_world_cannot_be_changed_in_a_recording(
    history: list[str | Path], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = drilled(capsys, "concept", *history)
    assert code == 2
    assert "cannot be put into a recording" in err


def an_event(at_ms: int, **features: Any) -> bytes:
    return json.dumps(
        {
            "prediction_id": f"p{at_ms}",
            "model_id": "m",
            "predicted_at": at_ms,
            "features": features,
            "latency_ms": 2.0,
        }
    ).encode()


def injected(fault: str, *values: bytes | None) -> list[Any]:
    injection = Injection(parse_fault(fault), START_MS)
    size = len(values)
    records = Records("t", 0, list(range(size)), [None] * size, list(values))
    return [msgspec.json.decode(v) if v else v for v in injection.predictions(records).values]


@pytest.mark.parametrize(
    ("fault", "features"),
    [
        ("null:a@0s,100%", {"a": None, "b": 3.0}),
        ("missing:a@0s", {"b": 3.0}),
        ("rename:a@0s", {"a_v2": 1.5, "b": 3.0}),
        ("retype:a@0s", {"a": "1.5", "b": 3.0}),
        ("unit:a@0s,x1.8,offset=32", {"a": 34.7, "b": 3.0}),
        ("swap:a+b@0s", {"a": 3.0, "b": 1.5}),
    ],
)
def test_a_fault_changes_events_from_its_onset_on(fault: str, features: dict[str, Any]) -> None:
    before, after = an_event(START_MS - 1, a=1.5, b=3.0), an_event(START_MS, a=1.5, b=3.0)
    first, second = injected(fault, before, after)
    assert first["features"] == {"a": 1.5, "b": 3.0}
    assert second["features"] == features


def test_what_is_no_event_is_left_as_it_is() -> None:
    injection = Injection(parse_fault("null:a@0s"), START_MS)
    values = [None, b"", b"{", b"[]", b'{"predicted_at":"x","features":{"a":1}}']
    records = Records("t", 0, list(range(5)), [None] * 5, [*values])
    assert injection.predictions(records).values == values
    assert injection.touched == 0


def test_outcomes_that_stop_are_as_if_never_sent() -> None:
    injection = Injection(parse_fault("labels_stop@0s"), START_MS)
    values = [
        json.dumps({"model_id": "m", "observed_at": START_MS + n}).encode() for n in (-1, 0, 5)
    ]
    records = Records("t", 0, [7, 8, 9], [None] * 3, [*values])
    assert injection.outcomes(records).offsets == [7]
