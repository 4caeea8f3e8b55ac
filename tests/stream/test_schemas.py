"""schemas/ is what the code says, and the examples of the contract satisfy it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from stream import control, schemas
from stream.events import Outcome, Prediction
from stream.rules import Rules
from stream.settings import Settings

DIRECTORY = Path(__file__).parents[2] / "schemas"

PREDICTION: dict[str, Any] = {
    "prediction_id": "p-123",
    "model_id": "fraud",
    "model_version": "42",
    "predicted_at": "2026-11-22T10:00:00.123Z",
    "features": {"amount": 12.5, "country": "DE", "age": None},
    "prediction": {"label": "fraud", "score": 0.87},
    "role": "champion",
    "segment": {"channel": "web"},
    "feature_set": "payments@7",
    "latency_ms": 12.3,
    "something_unknown": [1],
}
OUTCOME: dict[str, Any] = {
    "prediction_id": "p-123",
    "model_id": "fraud",
    "observed_at": 1796198400000,
    "actual": {"label": "ok"},
    "revision": 1,
    "retracted": False,
}


def test_the_schemas_directory_is_generated_from_the_code() -> None:
    on_disk = {path.name: path.read_text(encoding="utf-8") for path in DIRECTORY.glob("*.json")}
    generated = {schemas.file_name(name): schemas.schema_text(name) for name in schemas.NAMES}
    assert on_disk == generated, "run: leeway schema --write schemas"


@pytest.mark.parametrize("name", schemas.NAMES)
def test_a_schema_is_valid_json_schema_of_draft_2020_12(name: str) -> None:
    jsonschema.Draft202012Validator.check_schema(schemas.schema(name))


@pytest.mark.parametrize(
    ("name", "event", "struct"),
    [("prediction.v1", PREDICTION, Prediction), ("outcome.v1", OUTCOME, Outcome)],
)
def test_the_contracts_example_satisfies_schema_and_decoder(
    name: str, event: dict[str, Any], struct: type[msgspec.Struct]
) -> None:
    jsonschema.validate(event, schemas.schema(name))
    msgspec.json.decode(msgspec.json.encode(event), type=struct)


RECORDS: list[dict[str, Any]] = [
    {"type": "end_of_input", "effective_at": 1, "offsets": {"p": {"0": 5}}},
    {"type": "config", "effective_at": 1, "config_hash": Rules().config_hash(), "rules": {}},
    {"type": "reference", "effective_at": "2026-11-22T10:00:00Z", "model_id": "fraud"},
    {"type": "acknowledgement", "alert_id": "a", "by": "ann"},
    {"type": "retrained", "model_id": "fraud", "model_version": "42"},
    {"type": "business_event", "model_id": "fraud", "name": "new-prices"},
]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["type"])
def test_schema_and_decoder_take_the_same_control_records(record: dict[str, Any]) -> None:
    known = schemas.schema("control.v1")
    jsonschema.validate(record, known)
    assert control.decode(msgspec.json.encode(record)) is not None
    for missing in record.keys() - {"effective_at", "model_version", "alert_id"}:
        lacking = {name: value for name, value in record.items() if name != missing}
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(lacking, known)
        with pytest.raises(control.ControlError):
            control.decode(msgspec.json.encode(lacking))


@pytest.mark.parametrize("missing", ["prediction_id", "model_version", "features", "prediction"])
def test_schema_and_decoder_refuse_the_same_missing_field(missing: str) -> None:
    event = {key: value for key, value in PREDICTION.items() if key != missing}
    with pytest.raises(jsonschema.ValidationError, match=missing):
        jsonschema.validate(event, schemas.schema("prediction.v1"))
    with pytest.raises(msgspec.ValidationError, match=missing):
        msgspec.json.decode(msgspec.json.encode(event), type=Prediction)


def test_the_config_schema_accepts_the_defaults_and_refuses_an_unknown_key() -> None:
    config = Settings().model_dump(mode="json", exclude_none=True)
    jsonschema.validate(config, schemas.schema("config"))
    with pytest.raises(jsonschema.ValidationError, match="panne"):
        jsonschema.validate(config | {"panne": "1s"}, schemas.schema("config"))
    with pytest.raises(jsonschema.ValidationError, match="less than or equal"):
        jsonschema.validate({"detectors": {"adwin": {"delta": 0}}}, schemas.schema("config"))
    with pytest.raises(jsonschema.ValidationError, match="owners"):
        jsonschema.validate(
            {"models": {"m": {"runbook_url": "https://r"}}}, schemas.schema("config")
        )
