"""A fixed Struct for each side: what a parser of exactly this workload can know beforehand."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec


def typed(features: int) -> dict[str, type[msgspec.Struct]]:
    floats: list[Any] = [(f"f{j}", float) for j in range(features)]
    of_features = msgspec.defstruct("Features", [*floats, ("c0", str), ("c1", str)], gc=False)
    said = msgspec.defstruct("Said", [("score", float)], gc=False)
    actual = msgspec.defstruct("Actual", [("label", int)], gc=False)
    prediction: list[Any] = [
        ("prediction_id", str),
        ("model_id", str),
        ("model_version", str),
        ("predicted_at", datetime),
        ("features", of_features),
        ("prediction", said),
        ("latency_ms", float),
    ]
    outcome: list[Any] = [
        ("prediction_id", str),
        ("model_id", str),
        ("observed_at", datetime),
        ("actual", actual),
    ]
    return {
        "predictions": msgspec.defstruct("TypedPrediction", prediction, gc=False),
        "outcomes": msgspec.defstruct("TypedOutcome", outcome, gc=False),
    }
