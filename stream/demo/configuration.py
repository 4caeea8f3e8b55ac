"""The demo's leeway.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from stream.demo.events import MODEL_ID
from stream.settings import Settings

OWNER = "car-loan-ml"


def configuration(*, bootstrap: str, web_port: int, reference_predictions: int) -> dict[str, Any]:
    """The configuration of the demo's worker, as its file has it."""
    return {
        "app": "leeway-demo",
        "kafka": {"bootstrap": bootstrap},
        # Two years pass in a minute: a pause in the sending is no pause in event time.
        "idle": "1h",
        "web": {"port": web_port},
        "reference": {"predictions": reference_predictions},
        "models": {
            MODEL_ID: {
                "owners": {"accountable": OWNER, "responsible": [OWNER]},
                "runbook_url": "https://example.com/runbooks/car-loan-drift",
            }
        },
    }


def write_configuration(path: Path, content: dict[str, Any]) -> Settings:
    """Writes the file and returns its settings, free of the environment's variables."""
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    return Settings.model_validate(content)
