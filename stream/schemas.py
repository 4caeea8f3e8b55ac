"""The JSON Schemas of the contract, generated from the code that decodes and encodes.

`leeway schema --write schemas` writes them all; a test fails when they differ.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec

from stream.control_forms import Form
from stream.events import Alert, DeadLetter, Outcome, Prediction, Request
from stream.settings import Settings

_EVENTS: dict[str, tuple[Any, str]] = {
    "prediction.v1": (Prediction, "A prediction event, as producers put it on the topic"),
    "outcome.v1": (Outcome, "An outcome event: the ground truth of a prediction"),
    "alert.v1": (Alert, "An alert, as consumers read it from the topic"),
    "request.v1": (Request, "A request to act, as consumers read it from the actions topic"),
    "control.v1": (Form, "A control record, as operators and other systems put it on the topic"),
    "dead_letter.v1": (DeadLetter, "A record that could not be used"),
}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"

NAMES = (*_EVENTS, "config")


def schema(name: str) -> dict[str, Any]:
    """The schema of one of `NAMES`; KeyError for any other."""
    if name == "config":
        return {"$schema": _DIALECT, "title": "leeway.yaml"} | {
            key: value for key, value in Settings.model_json_schema().items() if key != "title"
        }
    struct, title = _EVENTS[name]
    made = msgspec.json.schema(struct)
    for form in made["$defs"].values():  # Python 3.13 takes the indents of docstrings away
        if "description" in form:
            form["description"] = " ".join(form["description"].split())
    return {"$schema": _DIALECT, "title": title} | made


def schema_text(name: str) -> str:
    """The schema as its file holds it."""
    return json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"


def file_name(name: str) -> str:
    return "config.schema.json" if name == "config" else f"{name}.json"


def write(directory: Path) -> list[Path]:
    """Writes every schema as `<name>.json`; an existing file is replaced."""
    directory.mkdir(parents=True, exist_ok=True)
    paths = []
    for name in NAMES:
        path = directory / file_name(name)
        path.write_text(schema_text(name), encoding="utf-8")
        paths.append(path)
    return paths
