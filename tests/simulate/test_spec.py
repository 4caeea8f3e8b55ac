"""The specification: what it accepts, and how clearly it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from stream import schemas
from stream.simulate.__main__ import main
from stream.simulate.catalogue import FAULTS, MODELS
from stream.simulate.spec import SpecError, read_spec
from tests.simulate.naive import at_ms, seen

REFUSED = {
    "nul:amount@1d": "did you mean null?",
    "null@1d": "null needs a target: null:amount",
    "null:amont@1d": "fraud has no feature 'amont' (did you mean amount?)",
    "null:amount": "is no fault: write KIND[:TARGET]@ONSET",
    "null:amount@20": "write a number and a unit, such as 10s or 30d",
    "null:amount@2d..1d": "ends at 1d, which is not after its onset 2d",
    "null:amount@40d": "begins after the end",
    "null:amount@1d,130%": "an intensity of 1.3 is not a share of the requests",
    "null:amount@1d,much": "'much' is no intensity: write 30%, x100 or a number",
    "null:amount@1d,10%,20%": "says intensity twice",
    "null:amount@1d,colour=red": "unknown option colour",
    "null:amount@1d,to=x": "null has no option to (it has ramp, where, model)",
    "null:amount@1d,model=churn": "no model 'churn' here: there is fraud",
    "null:amount@1d,where=region=Mars": "no region 'Mars': there is EU, US, APAC",
    "unit:country@1d": "country of fraud is a category; possible: amount",
    "swap:amount@1d": "swap needs two features: swap:amount+payments_last_hour",
    "silence:EU@1d": "'EU' is no segment: write region=EU",
    "silence@1d,20%": "silence has no intensity",
    "shadow:lazy@1d": "no 'lazy': there is agree, disagree, slow, missing, schema",
    "concept:merchant@1d": "the truth of fraud does not depend on merchant",
    "rename:amount@1d,to=country": "fraud has a feature country already",
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_wrong_fault_is_refused_with_what_would_be_right(fault: str) -> None:
    with pytest.raises(SpecError, match="faults|fault|begins") as refused:
        read_spec(None, {"faults": [fault]})
    assert REFUSED[fault] in str(refused.value)


def test_all_errors_of_a_specification_come_at_once(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text("models: [churn]\ntraffic: {rate: fast}\nsead: 3\nlength: 30\n")
    with pytest.raises(SpecError) as refused:
        read_spec(file, {})
    lines = str(refused.value).splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        "length", "models", "traffic.rate", "sead",
    ]  # fmt: skip
    assert "no model 'churn': there is fraud, pricing" in lines[1]


def test_a_file_and_options_make_one_specification(tmp_path: Path) -> None:
    file = tmp_path / "spec.yaml"
    file.write_text(
        "seed: 3\nlength: 1d\ntraffic: {rate: 1/min, daily: 40%}\nmodels: [fraud, pricing]\n"
        "versions: [{version: '1'}, {version: '2', share: 10%}]\n"
        "faults:\n- null:amount@2h,30%\n- {kind: latency, onset: 3h, intensity: x3}\n"
    )
    spec = read_spec(file, {"seed": 4, "traffic": {"rate": "2/min"}, "faults": ["silence@20h"]})
    assert (spec.seed, spec.traffic.daily, len(spec.faults)) == (4, 0.4, 3)
    assert spec.traffic.rate * 60_000 == pytest.approx(2)
    assert [f.kind for f in spec.faults_of_models()["fraud"]] == ["null", "latency", "silence"]
    assert [f.kind for f in spec.faults_of_models()["pricing"]] == ["latency", "silence"]


def test_the_command_writes_files_and_says_what_was_wrong(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    given = ["--model", "fraud", "--rate", "1/min", "--days", "2", "--label-median", "1h"]
    assert main([str(out), *given, "--fault", "null:amount@1d,30%", "--version", "3"]) == 0
    assert sorted(path.name for path in out.iterdir()) == [
        "outcomes.ndjson", "predictions.ndjson", "truth.json",
    ]  # fmt: skip
    lines = (out / "predictions.ndjson").read_text().splitlines()
    assert 2_600 < len(lines) < 3_200
    assert json.loads(lines[0])["model_version"] == "3"
    (fault,) = json.loads((out / "truth.json").read_text())["faults"]
    assert fault["onset"] == "2026-01-02T00:00:00.000Z"
    assert fault["expected"][0]["kinds"][0] == "data_quality"
    assert fault["expected"][0]["actions"] == ["fix_pipeline"]
    assert main([str(out), "--fault", "nul@1d"]) == 2
    assert "no fault 'nul'" in capsys.readouterr().err
    assert main([]) == 2
    assert main(["--list"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown for name in (*MODELS, *FAULTS))


@pytest.mark.parametrize("model", MODELS)
def test_events_satisfy_the_schemas(model: str) -> None:
    faults = ["shadow:slow@1h", "null:customer_score@1h", "stale:customer_score@1h", "ab:none@90m"]
    stream = seen(*faults, models=(model,), rate="10/min")
    sides: tuple[tuple[str, list[dict[str, Any]]], ...] = (
        ("prediction.v1", stream.predictions),
        ("outcome.v1", stream.outcomes),
    )
    for name, events in sides:
        validator = jsonschema.Draft202012Validator(schemas.schema(name))
        assert len(events) > 1_000
        for event in events:
            validator.validate(event)
    assert {p["role"] for p in stream.predictions} == {"champion", "shadow", "control", "treatment"}


def test_the_truth_names_what_was_touched() -> None:
    stream = seen("null:amount@1h,30%")
    nulls = [p for p in stream.predictions if p["features"]["amount"] is None]
    affected = stream.fault["affected"]
    assert affected["count"] == len(nulls)
    times = sorted(at_ms(p["predicted_at"]) for p in nulls)
    assert (at_ms(affected["first"]), at_ms(affected["last"])) == (times[0], times[-1])
