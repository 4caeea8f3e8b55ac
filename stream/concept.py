"""Performance has moved while the inputs are as before: the relation between them has changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from stream.columns import FEATURE
from stream.inputs import Standing

_AS_BEFORE = "; all {} inputs and predictions are as before: what is true of them has changed"
SHOWN = 20  # inputs, the least certain first


def is_loss(detail: dict[str, Any]) -> bool:
    """Performance has become worse."""
    return bool(detail["kind"] == "performance" and detail["recommended_action"] == "retrain")


def with_inputs(detail: dict[str, Any], inputs: Sequence[Standing]) -> dict[str, Any]:
    """A loss of performance with what the inputs have been like since; it is concept
    drift only where each input that is watched certainly is as before, and predictions are: else
    the model is another one."""
    undecided = [_name(one) for one in inputs if not (one.is_stable or one.has_moved)]
    moved = [_name(one) for one in inputs if one.has_moved]
    least = sorted(inputs, key=lambda one: (-_reach(one), one.name))[:SHOWN]
    shown = {
        "stable": len(inputs) - len(undecided) - len(moved),
        "undecided": undecided[:SHOWN],
        "moved": moved[:SHOWN],
        "differences": {_name(one): _shown(one) for one in least if one.difference is not None},
    }
    found = detail | {"evidence": detail["evidence"] | {"inputs": shown}}
    if inputs and not (undecided or moved):
        found |= {
            "kind": "concept_drift",
            "summary": detail["summary"] + _AS_BEFORE.format(len(inputs)),
        }
    return found


def without_concept(detail: dict[str, Any]) -> dict[str, Any]:
    """Something was told of the inputs after all."""
    stated = detail["summary"].partition(_AS_BEFORE.partition("{")[0])[0]
    return detail | {"kind": "performance", "summary": stated}


def _name(one: Standing) -> str:
    return one.name.removeprefix(FEATURE)


def _reach(one: Standing) -> float:
    """How far the interval goes, in floors."""
    found = one.difference
    if found is None:
        return float("inf")
    return float(max(abs(found.low), abs(found.high))) / (one.floor or 1.0)


def _shown(one: Standing) -> dict[str, float]:
    found = one.difference
    assert found is not None
    ends = {"estimate": found.estimate, "low": found.low, "high": found.high}
    return {name: float(f"{float(v):.4g}") for name, v in ends.items()} | {"floor": one.floor}
